"""Map: files of fingerprints become rows of contents in files of their own, sorted, in the work directory."""

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np

from pksm.errors import PksmError
from pksm.fleet import sandboxed
from pksm.fleet.reading import Contents, write_rows
from pksm.fleet.rows import ROW
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.layout import below_of, keep_of


class Part(NamedTuple):
    """The rows of one file: the path of the file that they are in, how many there are, and of how many members."""

    rows: str
    n_rows: int
    n_members: int


@dataclass(frozen=True)
class Mapped(Contents):
    """What one file of fingerprints holds, and where its rows are.

    Args:
        path: of the file.
        rows: path of the file of ROW entries, which names members by their number here.
    """

    path: str
    rows: str

    @property
    def keep(self) -> float:
        """The share of contents that is in its rows."""
        return keep_of(self.below)

    @property
    def part(self) -> Part:
        """Its rows."""
        return Part(self.rows, self.n_rows, len(self.names))


def map_files(paths: Sequence[str], directory: str, keep: float, in_sandbox: bool) -> list[Mapped | PksmError]:
    """Read files of fingerprints and store the rows of their contents; or return what was stored of them before.

    Args:
        paths: of the files.
        directory: the work directory, in which files by the name of each path, its size and time, and `keep` appear.
        keep: the share of contents to keep, at most.
        in_sandbox: whether they are parsed in a process that can do nothing else.

    Returns:
        Of each path, what the file holds, or the error that says why it can't be read: a UsageError if it is another
        kind of file.
    """
    found: dict[str, Mapped | PksmError] = {}
    with ExitStack() as stack:
        jobs: list[_Job] = []
        for path in paths:
            try:
                about = _about(path, directory, keep)
                stored_before = _stored_before(about)
                if stored_before is not None:
                    found[path] = stored_before
                else:
                    jobs.append(stack.enter_context(_Job(path, about)))
            except PksmError as error:
                found[path] = error
        read = sandboxed.contents_of if in_sandbox else _contents_of
        for job, contents in zip(jobs, read(jobs, below_of(keep)), strict=True):
            try:
                found[job.file.path] = contents if isinstance(contents, PksmError) else job.finish(contents)
            except PksmError as error:
                found[job.file.path] = error
    return [found[path] for path in paths]


def _contents_of(jobs: "Sequence[_Job]", below: int) -> list[Contents | PksmError]:
    """Read files in this process."""
    found: list[Contents | PksmError] = []
    for job in jobs:
        try:
            found.append(write_rows(job.file, below, job.rows))
        except PksmError as error:
            found.append(error)
    return found


def _about(path: str, directory: str, keep: float) -> Path:
    """Return where is stored what a file of this name, size and time holds."""
    try:
        known = os.stat(path)
    except OSError as error:
        raise PksmError(f"{path}: {error.strerror}") from None
    facts = [os.path.abspath(path), known.st_size, known.st_mtime_ns, keep]
    return Path(directory, f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]}.json")


def _stored_before(about: Path) -> Mapped | None:
    with contextlib.suppress(OSError, ValueError, TypeError):  # nothing, or not all of it
        found = Mapped(**json.loads(about.read_text(encoding="utf-8")))
        if os.path.getsize(found.rows) == found.n_rows * ROW.itemsize:
            return found
    return None


class _Job:
    """A context manager: a file that is open to be read, and one that is open for its rows.

    Attributes:
        file: of fingerprints.
        rows: the other one, which is not there under its own name before `finish`.
    """

    def __init__(self, path: str, about: Path) -> None:
        self._about = about
        self._part = about.with_name(f"{about.stem}.rows.{os.getpid()}")
        self.file = OpenFile(path)
        try:
            self.rows: IO[bytes] = open(self._part, "w+b")  # noqa: SIM115 (closed on exit)
        except OSError as error:
            self.file.close()
            why = error.strerror if self._part.parent.is_dir() else f"there is no such directory on {platform.node()}"
            raise PksmError(f"{self._part.parent}: {why}: rows are kept where all processes see them") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what a full disk does not take was an error before
            self.rows.close()
        self.file.close()
        self._part.unlink(missing_ok=True)

    def finish(self, contents: Contents) -> Mapped:
        """Store what the file holds, whole or not at all."""
        place = self._about.with_suffix(".rows")
        made = Mapped(**vars(contents), path=self.file.path, rows=str(place))
        part = self._about.with_name(f"{self._about.name}.{os.getpid()}")
        try:
            self.rows.close()
            os.replace(self._part, place)
            part.write_text(json.dumps(vars(made)), encoding="utf-8")
            os.replace(part, self._about)
        except OSError as error:
            raise PksmError(f"{place}: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)
        return made


def stored(part: Part) -> Any:
    """Return the rows of a file, ROW (n_rows,), mapped from the work directory.

    Raises:
        PksmError: they are not there, or not all of them.
    """
    if not part.n_rows:
        return np.zeros(0, ROW)
    try:
        return np.memmap(part.rows, ROW, "r", shape=(part.n_rows,))
    except OSError as error:
        raise PksmError(f"{part.rows}: {error.strerror}: rows are kept where all processes see them") from None
    except ValueError:
        raise PksmError(f"{part.rows}: is shorter than it was: delete it, and count again") from None
