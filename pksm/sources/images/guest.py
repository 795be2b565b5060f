"""The memory of a guest in an ELF core, as QEMU's dump-guest-memory and `virsh dump --memory-only` write it."""

import os

import numpy as np

from pksm.errors import PksmError
from pksm.extents import State
from pksm.linux.proc.smaps import Mapping
from pksm.sources.images import elf, mapped


def lay_out(image: mapped.MappedImage, core: elf.Core) -> None:
    """Tell the image where guest memory lies, by physical address. Raises PksmError for a dump by virtual address."""
    loads = core.loads
    # QEMU writes p_vaddr as 0 or as p_paddr unless it walked the guest's page tables, where ranges may come twice.
    if ((loads["vaddr"] != 0) & (loads["vaddr"] != loads["paddr"])).any():
        raise PksmError(
            f"{image.name}: is ordered by virtual address (paging=true, or a kernel's vmcore): dump the guest with "
            "paging=false (dump-guest-memory without -p), or convert a vmcore with makedumpfile -c -d 0"
        )
    size, held = loads["memsz"].astype(np.int64), loads["filesz"].astype(np.int64)
    end = int(loads["paddr"][-1]) + int(size[-1])
    image.mappings = [Mapping(os.path.basename(image.name), 0, end)]
    gaps = mapped.gap(State.EXCLUDED, 0, loads["paddr"] + loads["filesz"], size - held)
    image.hold(mapped.piece(0, loads["paddr"], loads["offset"], held), [gaps])
    image.remarks.append(about_untouched_ram(image.name))


def about_untouched_ram(name: str) -> str:
    """Return the line about what a dump that QEMU makes of a guest counts too much of."""
    return (
        f"{name}: a dump of a guest holds all of its RAM: pages that it never touched, and that the host has no memory "
        "for, count as zero pages; scan the hypervisor's process, or the file of the guest's RAM"
    )
