"""What booted kernels counted, beside what the simulated machine counts: the document `pksm.truth/1`."""

from collections.abc import Callable, Sequence
from typing import Any

from pksm.documents import TruthDocument
from pksm.errors import UsageError
from pksm.policies.uksm.spec import UksmSettings
from pksm.simulation.trace import Opener, open_binary
from pksm.validation.recorded.traces import Row as TraceRow
from pksm.validation.recorded.traces import agreement, read_traces, replay
from pksm.validation.recorded.uksm.compare import ORDERS
from pksm.validation.recorded.uksm.compare import compare as compare_uksm
from pksm.validation.recorded.uksm.fed import compare_fed
from pksm.validation.recorded.uksm.logs import read_logs
from pksm.validation.recorded.uksm.recording import is_one, read_recordings
from pksm.validation.recorded.workloads import compare

SCHEMA = "pksm.truth/1"


def truth(
    names: Sequence[str] = (),
    traces: str | None = None,
    preset: Any = None,
    orders: int = ORDERS,
    progress: Callable[[str], object] = lambda what: None,
    opener: Opener = open_binary,
    visits: str | None = None,
    batches: str | None = None,
) -> TruthDocument:
    """Compare the simulated machine with recordings of kernels, number by number.

    Args:
        names: the recorded workloads of PKSM to play; all if there are none.
        traces: path of a file to play in place of these: random traces of PKSM, or recordings of UKSM, one per line.
        preset: settings in place of the kernels' own.
        orders: of visits to try besides, where a number of UKSM differs.
        progress: called with what comes next, before each workload and each trace.
        opener: opens the files.
        visits: path of the events that a kernel with UKSM logged: recordings are played in its order of visits.
        batches: path of the wake-ups that it logged; both or neither.

    Returns:
        The document, ready for JSON.

    Raises:
        UsageError: for a workload that was not recorded, a file without rounds, or one log without the other.
        PksmError: for a file that is not one of traces.
    """
    if traces is not None and names:
        raise UsageError("a file of traces is compared alone: leave out the workloads")
    is_of_uksm = traces is not None and is_one(traces, opener)
    if preset is not None and isinstance(preset, UksmSettings) != is_of_uksm:
        raise UsageError(f"the kernels that were recorded had {'UKSM' if is_of_uksm else 'PKSM'}: take a preset of it")
    if visits is not None or batches is not None:
        if visits is None or batches is None:
            raise UsageError("the kernel's order takes the log of its visits and that of its wake-ups: give both")
        if traces is None or not is_of_uksm:
            raise UsageError("logs are of recordings of UKSM: give the file of these, too")
        recordings = read_recordings(traces, opener)
        fed, sums, explained = compare_fed(recordings, read_logs(visits, batches, opener), preset, progress)
        return _document(fed, explained) | {"fed": {what: list(counts) for what, counts in sums.items()}}
    if traces is not None and is_of_uksm:
        compared, readings = compare_uksm(read_recordings(traces, opener), preset, orders, progress)
        return _document(compared, explained=sum(bool(row.note) for row in compared)) | {"readings": readings}
    if traces is None:
        rows = compare([*names], preset, lambda kernel, name: progress(f"{kernel}: {name}"))
        return _document(rows, explained=sum(bool(row.note) for row in rows))
    replayed = _replayed(traces, preset, progress, opener)
    return _document(replayed) | {"readings": agreement(replayed)}


def _replayed(path: str, preset: Any, progress: Callable[[str], object], opener: Opener) -> list[TraceRow]:
    known = read_traces(path, opener)
    rows: list[TraceRow] = []
    for number, trace in enumerate(known, 1):
        progress(f"trace {number:,} of {len(known):,}")
        rows += replay(trace, preset)
    if not rows:
        raise UsageError(f"{path}: the traces have no rounds")
    return rows


def _document(rows: Sequence[Any], explained: int = 0) -> Any:
    """The document of rows. explained: how many of the numbers that differ do so for a known reason."""
    equal = sum(row.kernel_value == row.ours for row in rows)
    return {
        "schema": SCHEMA,
        "numbers": len(rows),
        "equal": equal,
        "explained": explained,
        "unexplained": len(rows) - equal - explained,
        "rows": [row._asdict() for row in rows],
    }
