"""Packages that only some readers need: asked for when such a file is opened, and named when they are missing."""

import importlib
from typing import Any

from pksm.errors import UnsupportedError


def load(module: str, package: str, wanted_for: str) -> Any:
    """Import and return `module` of the PyPI `package`. Raises UnsupportedError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UnsupportedError(f"{wanted_for} needs the package {package}: pip install {package}") from None
