"""Saving to a file what goes on later, here or elsewhere, and loading it."""

import os
from typing import Any

from pksm.checkpoints import format
from pksm.checkpoints.tree import Packing, Unpacking
from pksm.engine.state import sound_state
from pksm.errors import PksmError, UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine.machine import Machine
from pksm.linux.new_file import new_file


def save(path: str | os.PathLike[str], thing: Any) -> None:
    """Save an engine with its host, a host, a store, a simulation, or a state, to a file: see checkpoints.format.

    What is loaded goes on as the thing itself would have, call for call and byte for byte. Memory that was lent to a
    store is in the file, and comes back as memory of the store's own.

    Args:
        path: of the file; a checkpoint that is there is replaced when the new one is complete.
        thing: a Pksmd or Ksmd on a FlatHost or Machine, one of these alone, a Store, a Simulation, what state()
            returned, or a dict, list or tuple of such: things that belong together stay so.

    Raises:
        UsageError: something in it can't be saved: a host, policy or checksum of somebody's own.
        PksmError: the file can't be written.
    """
    packing = Packing()
    tree = packing.node(thing)
    parts = format.written(tree, packing.arrays)
    with new_file(os.fspath(path), "a checkpoint", lambda start: start.startswith(format.MAGIC)) as file:
        file.write(lambda out: out.writelines(parts))


def load(path: str | os.PathLike[str]) -> Any:
    """Return what save() has put into a file.

    The file is not trusted: it holds arrays and numbers, all of which are checked, and no code.

    Raises:
        UsageError: it is not a checkpoint, it is damaged, or what it holds is not sound.
        PksmError: it can't be read.
    """
    where = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise PksmError(f"{where}: {error.strerror}") from None
    tree, arrays = format.read(data, where)
    del data
    try:
        with sound_state("checkpoint"):
            unpacking = Unpacking(arrays)
            thing = unpacking.value(tree)
            for host in unpacking.made(FlatHost, Machine):
                host.check()
            return thing
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
