"""Files of fingerprints, parsed by a worker that holds them and the files for their rows, and can do nothing else."""

import resource
from collections.abc import Callable, Sequence
from typing import IO, Any, Protocol

from pksm.errors import PksmError, UsageError
from pksm.fleet.reading import Contents, Heavy, write_rows
from pksm.fleet.rows import ROW
from pksm.linux.sandbox import calls
from pksm.linux.sandbox.errors import error_of, fields_of
from pksm.sources.base import check_page_size
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.layout import ALL_SUMS, HEAVY
from pksm.sources.fingerprints.table import MOST_LETTERS, MOST_PAGES, MOST_SOURCES


class Job(Protocol):
    """A file to read, and one for its rows."""

    file: OpenFile
    rows: IO[bytes]


def contents_of(jobs: Sequence[Job], below: int) -> list[Contents | PksmError]:
    """Write the rows of files, as write_rows does, in a worker for all of them.

    If the worker dies, each file that is left is read in one of its own, so that the others go on.

    Returns:
        What each file holds, or the error that says why it can't be read.
    """
    found: dict[int, Contents | PksmError] = {}
    rounds = [list(range(len(jobs)))] if jobs else []
    for numbers in rounds:
        try:
            _read({number: jobs[number] for number in numbers}, below, found)
        except (PksmError, MemoryError) as error:
            if len(numbers) > 1:
                rounds += [[number] for number in numbers if number not in found]
            else:
                [number] = numbers
                short = PksmError(f"{jobs[number].file.path}: there is too little memory to read it")
                found[number] = error if isinstance(error, PksmError) else short
    return [found[number] for number in range(len(jobs))]


def _read(jobs: dict[int, Job], below: int, found: dict[int, Contents | PksmError]) -> None:
    """Read files in one worker, and put what comes of each into `found`."""
    most = max(job.file.size for job in jobs.values())  # rows are shorter than records

    def work(send: Callable[..., None]) -> None:
        for number, job in jobs.items():
            try:
                contents = write_rows(job.file, below, job.rows)
            except PksmError as error:
                send(number, None, fields_of(error))
            except OSError as error:  # it tried what it may not
                send(number, None, fields_of(PksmError(f"{job.file.path}: {error.strerror}")))
            else:
                send(number, vars(contents), None)

    def hear(number: int, contents: Any, error: Any) -> None:
        if error is None:
            found[number] = _checked(contents, jobs[number])
            return
        said = error_of(error)
        found[number] = said if isinstance(said, PksmError) else PksmError(str(said))

    for job in jobs.values():
        job.rows.seek(0)
        job.rows.truncate()
    descriptors = [fd for job in jobs.values() for fd in (job.file.fd, job.rows.fileno())]
    name = next(iter(jobs.values())).file.path
    calls.call(work, name, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)), descriptors, hear, _ignore)


def _ignore(worker: object) -> None:
    """Nothing interrupts it: it ends with us."""


def _checked(found: Any, job: Job) -> Contents:
    """Return what a worker says that a file holds. Raises ValueError, TypeError or KeyError if it can't be."""
    made = Contents(
        page_size=_whole(found["page_size"]),
        partial=found["partial"] is True,
        below=_whole(found["below"], ALL_SUMS),
        key_check=_whole(found["key_check"], ALL_SUMS),
        time=_whole(found["time"]),
        names=[_text(name) for name in found["names"]],
        pages=[_whole(pages) for pages in found["pages"]],
        zero=[_whole(pages) for pages in found["zero"]],
        n_rows=_whole(found["n_rows"]),
        heavy=[_heavy(*one) for one in found["heavy"]],
        digest=_text(found["digest"]),
    )
    try:
        check_page_size(made.page_size)
    except UsageError:
        raise ValueError("no size of pages") from None
    job.rows.seek(0, 2)
    if (
        not 0 < len(made.names) == len(made.pages) == len(made.zero) <= MOST_SOURCES
        or len(made.heavy) > HEAVY
        or made.n_rows * ROW.itemsize != job.rows.tell()
    ):
        raise ValueError("what can't be")
    return made


def _heavy(pages: Any, members: Any, first: Any, tail: Any) -> Heavy:
    return _whole(pages), _whole(members), _whole(first, ALL_SUMS), _whole(tail, ALL_SUMS)


def _whole(value: Any, below: int = MOST_PAGES) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise TypeError("not a number that can be")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_LETTERS:
        raise TypeError("not a text")
    return value
