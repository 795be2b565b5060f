"""Processes with one memory between them, which is read once."""

from collections.abc import Sequence

from pksm.linux.proc.maps import AddressSpaces
from pksm.linux.proc.one_memory import of_one_memory
from pksm.sources.base import Source
from pksm.sources.live.process import ProcessSource

NAMED = 5  # processes that a line names


def each_memory_once(sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    """Leave out processes whose memory is that of another source.

    What is learnt about the mappings of one is known of the others.

    Returns:
        The sources to read, and a line for each memory of several.
    """
    processes = {source.pid: source for source in sources if isinstance(source, ProcessSource)}
    spaces = AddressSpaces()
    for process in processes.values():
        process.spaces = spaces
    left_out: set[Source] = set()
    lines = []
    for first, *others in of_one_memory(processes) if len(processes) > 1 else []:
        left_out.update(processes[pid] for pid in others)
        names = ", ".join(processes[pid].name for pid in others[:NAMED])
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        lines.append(f"{processes[first].name}: its memory is that of {names}{more}, too: it is read once")
    return [source for source in sources if source not in left_out], lines
