"""Files that are the shared memory of processes: what is counted in them is not to be had."""

from collections.abc import Sequence

from pksm.linux.proc.shared_files import identity, may_be_shared, sharers
from pksm.sources.base import Source


def out_of_reach(sources: Sequence[Source]) -> list[str]:
    """Return a line for each file of raw memory that a process maps shared, as QEMU does with share=on."""
    names = (source.name for source in sources if source.kind == "raw")
    files = {name: identity(name) for name in names if may_be_shared(name)}
    found = sharers({file for file in files.values() if file})
    return [_line(name, found[file]) for name, file in files.items() if file in found]


def _line(name: str, pids: list[int]) -> str:
    more = f" and {len(pids) - 1} more" if len(pids) > 1 else ""
    return (
        f"{name}: is memory that process {pids[0]}{more} maps shared, as a guest does with share=on: no kernel merges "
        "shared memory, so what is counted here can't be saved; start the guest with private memory (share=off)"
    )
