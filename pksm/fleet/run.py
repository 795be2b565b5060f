"""fleet(): files of fingerprints to the document pksm.fleet/1, in N + B tasks, here or on a cluster."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pksm.arrays import U32Array
from pksm.documents.fleet import FleetDocument, FleetHost, FleetPartition
from pksm.errors import PksmError, UsageError
from pksm.fleet import estimates
from pksm.fleet.alike import alike
from pksm.fleet.mapping import Mapped, map_file, stored
from pksm.fleet.plans import Capacities, placement
from pksm.fleet.rows import rows_of
from pksm.fleet.tally import COMMON, HEAVY, MOST_UNITS, Tally, tally
from pksm.fleet.together import together
from pksm.parallel.pool import own_results, results, workers_for
from pksm.sources.fingerprints.layout import MAGIC, below_of, edges, places

SCHEMA: Final = "pksm.fleet/1"
ROWS_AT_ONCE = 1 << 22  # of a bucket, about: what a task has in memory
ROW_BYTES = 150  # that a row takes while it is counted, about
LEVELS: Final = ("vm", "tenant", "host", "all")
POINTS = 64  # of the growth curve
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Settings:
    """How a fleet is counted.

    Args:
        keep: the share of contents to count, the same ones everywhere; 1: all, exactly.
        tenant: a regular expression whose first group, or match, in "HOST/VM" is the tenant; None: one for all.
        host: the same for the host, in the path of a file; None: the file's name without its ending.
        work: a directory in which work is kept, to go on later; None: one for this run.
        workers: processes side by side; None: one for each CPU, if memory allows.
        executor: who does the tasks instead, such as parallel.cluster.Cluster; it has to see the same files.

    Raises:
        UsageError: a share out of range, or an expression that is none.
    """

    keep: float = 1.0
    tenant: str | None = None
    host: str | None = None
    work: str | None = None
    workers: int | None = None
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise UsageError("must be more than 0 and at most 1", "keep")
        for name in ("tenant", "host"):
            try:
                re.compile(getattr(self, name) or "")
            except (re.error, RecursionError, OverflowError) as error:
                raise UsageError(f"is not a regular expression: {error}", "by") from None


@dataclass(frozen=True)
class Members:
    """Who is who: the members of all files, numbered through, and the groups that they are in.

    Args:
        names: of the members, "HOST/VM".
        groups: {level: uint32 (members,)}.
        labels: {level: names of the groups}.
    """

    names: list[str]
    groups: Mapping[str, U32Array]
    labels: Mapping[str, list[str]]

    @property
    def units(self) -> str:
        """The level whose groups are compared with each other."""
        return "vm" if len(self.names) <= MOST_UNITS else "host"


def fleet(
    paths: Sequence[str],
    settings: Settings | None = None,
    place: Capacities | None = None,
    progress: Progress = lambda what, done, total: None,
) -> FleetDocument:
    """Count what merging saves in the fleet whose fingerprints these files hold.

    Args:
        paths: files that pksm fingerprint has made, or directories, of which such files are taken.
        settings: see Settings.
        place: hosts with room, to place VMs on; None: nothing is placed.
        progress: progress("reading" or "counting", tasks done, tasks in all).

    Returns:
        The document. Files that can't be read are named in its warnings, and it is partial.

    Raises:
        UsageError: no files.
        PksmError: no file can be read, or the work directory can't be written.
    """
    settings = settings or Settings()
    files = _files(paths)
    with _work(settings) as directory:
        warnings: list[str] = []
        mapped: dict[int, Mapped] = {}
        tasks = {number: (path, directory, settings.keep) for number, path in enumerate(files)}
        for number, result in _done(settings, _map, tasks, "reading", progress, ROWS_AT_ONCE):
            if isinstance(result, str):
                warnings.append(result)
            else:
                mapped[number] = result
        chosen = alike([mapped[number] for number in sorted(mapped)], warnings)
        keep = min(one.keep for one in chosen)
        members = who_is_who(chosen, settings)
        total = Tally(hosts=np.zeros(len(members.labels["host"]) + 1, np.int64))
        n_rows = sum(one.n_rows for one in chosen)
        buckets = max(1, -(-n_rows // ROWS_AT_ONCE))
        bounds = edges(below_of(keep), buckets)
        counting = {
            number: (chosen, bounds[number], bounds[number + 1], dict(members.groups), members.units)
            for number in range(buckets)
        }
        for _, part in _done(settings, reduce, counting, "counting", progress, min(n_rows, ROWS_AT_ONCE)):
            total.add(part)
        placed = placement(chosen, members, place, keep) if place else None
        kept = directory if settings.work else ""
        document = _document(chosen, members, total, keep, warnings, kept)
        document["placement"] = placed
        return document


def _files(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            try:
                inside = sorted(str(one) for one in Path(path).iterdir() if one.is_file() and _begins_right(one))
            except OSError as error:
                raise PksmError(f"{path}: {error.strerror}") from None
            found += inside
        else:
            found.append(path)
    if not found:
        raise UsageError("say which files of fingerprints, or a directory of such")
    return list(dict.fromkeys(found))


def _begins_right(path: Path) -> bool:
    """Return whether a file of a directory holds fingerprints, or cannot be read: whoever reads it says why."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return True


@contextmanager
def _work(settings: Settings) -> Iterator[str]:
    if settings.work is None:
        with tempfile.TemporaryDirectory(prefix="pksm-fleet-") as directory:
            yield directory
        return
    try:
        os.makedirs(settings.work, mode=0o700, exist_ok=True)
    except OSError as error:
        raise PksmError(f"{settings.work}: {error.strerror}") from None
    yield settings.work


def _done(
    settings: Settings,
    function: Callable[..., Any],
    tasks: dict[int, tuple[Any, ...]],
    what: str,
    progress: Progress,
    rows: int,
) -> Iterator[tuple[int, Any]]:
    progress(what, 0, len(tasks))
    if settings.executor is not None:
        made = results(settings.executor, function, tasks)
    else:
        workers = settings.workers or workers_for(len(tasks), rows * ROW_BYTES)
        made = own_results(_Spread(function), list(tasks.values()), workers)
    for done, pair in enumerate(made, 1):
        yield pair
        progress(what, done, len(tasks))


@dataclass(frozen=True)
class _Spread:
    """A function of several arguments as one of a tuple of them."""

    function: Callable[..., Any]

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        return self.function(*arguments)


def _map(path: str, directory: str, keep: float) -> Mapped | str:
    """map_file, whose error is a result: the others go on."""
    try:
        return map_file(path, directory, keep)
    except (PksmError, UsageError) as error:
        return str(error)


def reduce(chosen: Sequence[Mapped], low: int, high: int, groups: Mapping[str, U32Array], units: str) -> Tally:
    """Count all contents whose sums lie in a range.

    Args:
        chosen: the files; members count through them.
        low, high: the range, without `high`, which may be 2^64.
        groups, units: as tally() takes them.
    """
    parts = []
    offset = 0
    for one in chosen:
        rows = stored(one)
        start, stop = places(rows["sum"], [low, high])
        part = np.array(rows[start:stop])
        part["member"] += np.uint32(offset)
        parts.append(part)
        offset += len(one.names)
    rows = np.concatenate(parts)
    return tally(rows_of(rows["sum"], rows["tail"], rows["member"], rows["count"]), groups, units)


def who_is_who(chosen: Sequence[Mapped], settings: Settings) -> Members:
    """Return the members of all files and their groups."""
    hosts = [_matched(settings.host, one.path) or Path(one.path).stem for one in chosen]
    names = [f"{host}/{name}" for host, one in zip(hosts, chosen, strict=True) for name in one.names]
    per_member = [host for host, one in zip(hosts, chosen, strict=True) for _ in one.names]
    tenants = [_matched(settings.tenant, name) or "" for name in names]
    groups, labels = {}, {}
    for level, of in (("vm", names), ("tenant", tenants), ("host", per_member), ("all", [""] * len(names))):
        label = list(dict.fromkeys(of)) if level != "vm" else names
        number = {name: place for place, name in enumerate(label)}
        groups[level] = np.array(range(len(names)) if level == "vm" else [number[name] for name in of], np.uint32)
        labels[level] = label
    return Members(names, groups, labels)


def _matched(expression: str | None, text: str) -> str | None:
    found = re.search(expression, text) if expression else None
    return None if found is None else (found[1] if found.re.groups else found[0]) or ""


def _document(
    chosen: Sequence[Mapped], members: Members, total: Tally, keep: float, warnings: list[str], work: str
) -> FleetDocument:
    pages = np.concatenate([np.array(one.pages, np.int64) for one in chosen])
    zero = np.concatenate([np.array(one.zero, np.int64) for one in chosen])
    data, zeros = int(pages.sum()), int(zero.sum())
    n_hosts = len(members.labels["host"])
    sizes = sorted({max(1, round(n_hosts * place / POINTS)) for place in range(1, POINTS + 1)})
    grown = estimates.growth(total.hosts[: n_hosts + 1], keep, sizes)
    n_units = len(members.labels[members.units])
    scale = 1 / keep
    return {
        "schema": SCHEMA,
        "page_size": chosen[0].page_size,
        "keep": keep,
        "hosts": _hosts(chosen, members, pages, zero),
        "vms": len(members.names),
        "tenants": [name for name in members.labels["tenant"] if name],
        "pages": data + zeros,
        "zero_pages": zeros,
        "contents": estimates.total(total.contents, total.contents, keep),
        "partitions": _partitions(total, members, data, zeros, keep),
        "growth": [
            {
                "hosts": m,
                "pages": (data + zeros) * m / n_hosts,
                "saving_pages": estimates.saved(one, data * m / n_hosts, zeros * m / n_hosts),
            }
            for m, one in zip(sizes, grown, strict=True)
        ],
        "overlap": None
        if total.overlap is None
        else {
            "within": "vm" if members.units == "vm" else "host",
            "names": members.labels[members.units],
            "pages": (total.overlap * scale).round(1).tolist(),
        },
        "base": {
            "more_than": min(COMMON, max(2, n_units // 2)),
            "pages": estimates.total(total.common, total.common, keep),
            "saving_pages": estimates.total(total.spare, total.spare_square, keep),
        },
        "together": together(total.overlap, members.labels[members.units], scale),
        "heavy": [
            {"pages": many, "units": units, "sum": f"{first:016x}{tail:016x}"}
            for many, units, first, tail in _heavy(chosen, total, keep)
        ],
        "placement": None,
        "work": work,
        "partial": bool(warnings) or any(one.partial for one in chosen),
        "warnings": [*warnings, *(f"{one.path}: is partial" for one in chosen if one.partial)],
    }


def _hosts(chosen: Sequence[Mapped], members: Members, pages: Any, zero: Any) -> list[FleetHost]:
    made = []
    host_of_member = members.groups["host"]
    starts = np.cumsum([0, *(len(one.names) for one in chosen)])
    for number, name in enumerate(members.labels["host"]):
        own = host_of_member == number
        files = [
            one.path
            for one, start, stop in zip(chosen, starts[:-1], starts[1:], strict=True)
            if stop > start and host_of_member[start] == number
        ]
        counts = [int(own.sum()), int((pages + zero)[own].sum()), int(zero[own].sum())]
        made.append(FleetHost(name=name, files=files, vms=counts[0], pages=counts[1], zero=counts[2]))
    return made


def _partitions(total: Tally, members: Members, data: int, zeros: int, keep: float) -> list[FleetPartition]:
    made = []
    for level in LEVELS:
        if level == "tenant" and not any(members.labels["tenant"]):
            continue
        weight, square = total.weight[level], total.square[level]
        # What a boundary costs: a content that w groups have is there w - 1 times more than it had to be.
        price, spread = weight - total.contents, square - 2 * weight + total.contents
        made.append(
            FleetPartition(
                within=level,
                groups=len(members.labels[level]),
                saving_pages=estimates.saved(estimates.total(weight, square, keep), data, zeros),
                price_pages=estimates.total(price, spread, keep),
            )
        )
    return made


def _heavy(chosen: Sequence[Mapped], total: Tally, keep: float) -> list[tuple[int, int, int, int]]:
    """Return the contents with the most pages: those counted, and those that files name besides."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for one in chosen:
        for pages, members, first, tail in one.heavy:
            if first >= (below_of(keep) or first + 1):
                known = found.get((first, tail), (0, 0))
                found[first, tail] = known[0] + pages, known[1] + members
    named = [(pages, members, first, tail) for (first, tail), (pages, members) in found.items()]
    return sorted([*total.heavy, *named], reverse=True)[:HEAVY]
