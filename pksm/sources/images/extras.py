"""Packages that only some readers need: asked for when such a file is opened, and named when they are missing."""

import contextlib
import importlib
import sys
from typing import Any

from pksm.errors import PksmError, UnsupportedError

# {module: the PyPI package that it is of}
MODULES = {"elftools.elf.elffile": "pyelftools", "cramjam": "cramjam"}
_tried: set[str] = set()
_may_import = True


class NotLoaded(PksmError):
    """A module that somebody else has to load: this process can't."""

    def __init__(self, module: str) -> None:
        super().__init__(f"{module} is not loaded")
        self.module = module


def load(module: str, wanted_for: str) -> Any:
    """Import and return one of MODULES.

    Raises:
        UnsupportedError: it is not installed; with the command that installs it.
        NotLoaded: this process can load nothing any more, and nobody has tried to before.
    """
    if _may_import:
        preload(module)
    elif module not in _tried:
        raise NotLoaded(module)
    library = sys.modules.get(module)
    if library is None:
        package = MODULES[module]
        raise UnsupportedError(f"{wanted_for} needs the package {package}: pip install {package}")
    return library


def preload(module: str) -> None:
    """Import one of MODULES, if it is installed."""
    _tried.add(module)
    with contextlib.suppress(ImportError):
        importlib.import_module(module)


def load_no_more() -> None:
    """Import nothing from now on: this process can't."""
    global _may_import
    _may_import = False
