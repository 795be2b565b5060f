"""save and load as methods: a file of pksm.checkpoints each."""

from __future__ import annotations

import os
from typing import Self

from pksm.errors import UsageError


class Saveable:
    """What checkpoints.save takes, to derive from."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save it to a file, with all that it stands on: an engine with its host, a simulation with its machine.

        Args:
            path: of the file; a checkpoint that is there is replaced when the new one is complete.

        Raises:
            UsageError: something in it can't be saved: a host, policy or checksum of somebody's own.
            PksmError: the file can't be written.
        """
        from pksm import checkpoints

        checkpoints.save(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return what save has put into a file: it goes on as the original would have. The file is not trusted.

        Raises:
            UsageError: it is not a checkpoint, not a sound one, or one of something else.
            PksmError: it can't be read.
        """
        from pksm import checkpoints

        thing = checkpoints.load(path)
        if not isinstance(thing, cls):
            name = type(thing).__name__
            raise UsageError(f"{os.fspath(path)}: holds a {name}, not a {cls.__name__}: checkpoints.load returns it")
        return thing
