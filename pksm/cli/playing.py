"""What simulate, sweep and compare play: a workload, a trace, a script or a recording, or memory that exists."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pksm.cli import exit_codes, options, output, pictures, privileges, reading, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import Targets
from pksm.errors import UsageError
from pksm.simulation.workloads import WORKLOADS

if TYPE_CHECKING:
    from pksm.simulation import RealMemory

METAVAR = "WORKLOAD|TRACE|SCRIPT.py|TARGET"
HEAD_BYTES = 4096
TRACES = (".jsonl", ".json")
CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\f\r")  # no text has them


def add_what(group: Any) -> None:
    """Add what to play: names, live processes, and how their memory is taken."""
    group.add_argument("workload", nargs="*", metavar=METAVAR,
                       help="a workload by name (pksm simulate --list lists them), a trace of JSON lines, a Python file "
                       "that defines workload(machine, sim), or memory images (any other file is one)")  # fmt: skip
    reading.add_live(group)
    group.add_argument("--opted-in", action="store_true",
                       help="let KSM merge only what processes have opted in (default: all, as if they had)")  # fmt: skip
    options.add_between(group)
    options.add_within(group, "merge nothing but within parts of one kind (default all)")
    options.add_page_size(group)
    options.add_workload(group, options.PAGES, "pages of a workload that is named")
    options.add_list(group, "the workloads and policies")


def add_runs(what: Any, work: Any, until_ms: int) -> None:
    """Add how many runs of which length there are, and who makes them: the options of sweeps."""
    what.add_argument("--seeds", type=options.count, default=1, metavar="N",
                      help="seeds to simulate with, from --seed on (default %(default)s)")  # fmt: skip
    what.add_argument("--until", type=options.milliseconds, metavar="TIME",
                      help="virtual time that every run lasts, such as 10m; a number without a unit is in ms "
                      f"(default {until_ms // 1000}s; of a recording, all of it)")  # fmt: skip
    options.add_workers(work)
    work.add_argument("--resume", metavar="FILE",
                      help="keep the result of each run in FILE, and do not simulate again what is in it")  # fmt: skip


def listed(given: argparse.Namespace) -> int:
    """Print the workloads and policies; return the exit code."""
    output.document(options.listing(workload=WORKLOADS, policy=options.policies()), given)
    return 0


def what(given: argparse.Namespace, interrupts: HeldInterrupts) -> "str | RealMemory":
    """Return what was named: a name or path to play, or memory that exists, read now."""
    if not given.workload and not reading.is_live(given):
        raise UsageError(
            "say what to simulate: a workload, such as b (pksm simulate --list lists them), a file, or --pid"
        )
    played = one_workload(given)
    if given.between is not None and (played is None or not _is_recording(played)):
        raise UsageError("is for a recording, of which it plays a part", "between")
    return _read(given, interrupts) if played is None else played


@contextmanager
def runner(
    given: argparse.Namespace, workload: "str | RealMemory", interrupts: HeldInterrupts
) -> Iterator[Executor | None]:
    """Give who makes many runs: None, processes of ours; a cluster; a trace is read where it can do no harm."""
    is_file = isinstance(workload, str) and workload not in WORKLOADS and not workload.endswith(".py")
    with cluster_of(given) as executor:
        if executor is None and is_file and os.path.exists(str(workload)) and sandbox.is_on():
            executor = _InSandbox(str(workload), interrupts)
        yield executor


def _until_ms(
    given: argparse.Namespace, workload: "str | RealMemory", otherwise: int, interrupts: HeldInterrupts
) -> int:
    """Return how long runs last: as long as was asked for, or as what was recorded."""
    if given.until is not None:
        return int(given.until)
    if not isinstance(workload, str) or not _is_recording(workload):
        return otherwise
    from pksm.recording.between import part_of
    from pksm.recording.reader import Recording

    def length(opener: Any, _: object) -> int:
        with Recording(workload, opener) as recording:
            part = part_of(recording, given.between) if given.between is not None else None
            return max(1, part.until_ms - part.from_ms if part else recording.last_ms)

    return int(sandbox.with_file(workload, length, lambda *_: None, interrupts))


def swept(
    given: argparse.Namespace,
    interrupts: HeldInterrupts,
    doing: str,
    until_ms: int,
    simulate: Callable[..., Mapping[str, Any]],
) -> int:
    """Make many runs of what was named, and print their document; return the exit code.

    Args:
        given, interrupts: those of the verb.
        doing: what progress calls it.
        until_ms: that every run lasts if nothing else is said; one of a recording lasts as long as that.
        simulate: simulate(workload, **how) returns the document; how: what simulation.sweep takes by name.
    """
    progress = output.Progress()

    def show(done: int, total: int) -> None:
        progress.show(lambda: f"{doing}: {done:,} of {total:,} runs")

    if given.workers == 0:
        raise UsageError("must be 1 at least", "workers")
    with pictures.made(given.plot, given.html) as draw:
        workload = what(given, interrupts)
        with runner(given, workload, interrupts) as executor:
            document = simulate(
                workload,
                seeds=given.seeds,
                until_ms=_until_ms(given, workload, until_ms, interrupts),
                executor=executor,
                workers=given.workers,
                resume=given.resume,
                progress=show,
                hold=interrupts.hold,
                pages=given.pages,
                seed=given.seed,
                opted_in_only=given.opted_in,
                between=given.between,
            )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)


@contextmanager
def cluster_of(given: argparse.Namespace) -> Iterator[Executor | None]:
    """Give the cluster that was named, or None. UsageError with --workers beside it."""
    if given.scheduler is None and given.scheduler_file is None:
        yield None
        return
    if given.workers is not None:
        raise UsageError("the cluster has its own: leave it out with --scheduler", "workers")
    from pksm.parallel.cluster import cluster

    with cluster(given.scheduler, given.scheduler_file) as executor:
        yield executor


def one_workload(given: argparse.Namespace) -> str | None:
    """Return the workload, trace or script that was named; None if it was real memory. UsageError for both together."""
    playable = [name for name in given.workload if not _is_memory(name)]
    if not playable:
        return None
    if len(given.workload) > 1 or reading.is_live(given):
        raise UsageError(
            f"{playable[0]}: is played alone; beside memory images and processes there is only more memory"
        )
    recorded = _is_recording(playable[0])
    if given.page_size is not None or (given.opted_in and not recorded):
        raise UsageError(
            f"{playable[0]}: is not real memory: leave out --page-size{'' if recorded else ' and --opted-in'}"
        )
    if given.within:
        raise UsageError(f"{playable[0]}: is not real memory, and nobody knows its users and guests", "within")
    return str(playable[0])


def _is_recording(name: str) -> bool:
    from pksm.simulation.replay import is_recorded

    return name not in WORKLOADS and is_recorded(name)


def _is_memory(name: str) -> bool:
    """Return whether a name is that of a memory image: a file that is not text of a trace. UsageError for a damaged recording."""
    if name in WORKLOADS or name.endswith(".py") or not os.path.isfile(name):
        return False
    from pksm.recording.reader import is_damaged, is_recording

    try:
        with open(name, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False  # whoever plays it says why
    if is_recording(head):
        return False
    if is_damaged(name, head):
        raise UsageError(f"{name}: is a damaged recording: it does not begin as one")
    return _is_binary(head) or not (name.endswith(TRACES) or _begins_as_trace(head))


def _is_binary(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is not text."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start < len(head) - 4 or len(head) < HEAD_BYTES  # a character may be cut off at the end
    return not CONTROLS.isdisjoint(head)


def _begins_as_trace(head: bytes) -> bool:
    """Return whether the first line that is not empty and no comment is a JSON object, or there is none."""
    lines = (line.strip() for line in head.split(b"\n"))
    return next((line for line in lines if line and not line.startswith(b"#")), b"{").startswith(b"{")


def _read(given: argparse.Namespace, interrupts: HeldInterrupts) -> "RealMemory":
    """Read what was named, as real memory."""
    from pksm.engine import native
    from pksm.scan import Interrupts
    from pksm.simulation import from_sources
    from pksm.simulation.parts import within
    from pksm.sources import opened

    part = options.one_part(given.within)
    native.catch_bus_errors()
    with sandbox.for_files(bool(given.workload)) as box:
        targets = Targets(reading.names_of(given, given.workload), box)
        with opened(targets.openers, interrupts.hold) as (sources, errors):
            memory = from_sources(
                sources,
                page_size=given.page_size,
                threads=len(os.sched_getaffinity(0)),
                opted_in_only=given.opted_in,
                progress=output.Progress(),
                errors=errors,
                interrupts=Interrupts(interrupts.hold),
                reading=privileges.Reduced(reading.freezer(given, sources, targets.cgroups), given),
            )
    for warning in memory.warnings:
        output.remark(warning)
    return within(memory, part)


class _InSandbox(Executor):
    """Runs a task when it is submitted, in a worker that can do nothing but read the trace."""

    def __init__(self, path: str, interrupts: HeldInterrupts) -> None:
        if not os.path.isfile(path):
            if os.path.isdir(path):
                raise UsageError(f"{path} is a directory: name a file")
            raise UsageError(f"{path} can be read only once: save it to a file, to simulate it several times")
        self._path, self._interrupts = path, interrupts

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Return the future of function(*arguments, opener): it is done."""
        future: Future[Any] = Future()
        future.set_result(
            sandbox.with_file(
                self._path,
                lambda opener, report: function(*arguments, opener),
                lambda *_: None,
                self._interrupts,
            )
        )
        return future
