"""Names that a package hands on from its modules, loaded when they are first used."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def hand_on(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` for the `__init__` of a package.

    Type checkers do not see these names: the `__init__` imports them besides, each `as` itself, under TYPE_CHECKING.

    Args:
        package: the package's own name, `__name__`.
        homes: {name: module that defines it}; a module of the package itself is its own home.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = importlib.import_module(homes[name])
        value = home if homes[name] == f"{package}.{name}" else getattr(home, name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*homes, *(name for name in vars(sys.modules[package]) if name.startswith("__"))})

    return load, names, sorted(homes)
