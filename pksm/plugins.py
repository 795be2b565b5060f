"""Entry points of other packages: a broken one is named in a warning and stops nothing."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

Thing = TypeVar("Thing")
_OWN_FINDERS = "_frozen_importlib_external"  # PathFinder is there, which looks as we do
_INFOS = (".dist-info", ".egg-info")


def load(group: str, check: Callable[[str, Any], Thing]) -> dict[str, Thing]:
    """Return {name: what check(name, loaded object) returns} of the entry points of a group that work, by name.

    Whatever loading or checking one raises becomes a warning, and it is left out; so are all of them where the system
    refuses to say which there are.
    """
    try:
        points = sorted(_points(group), key=lambda point: point.name)
    except (OSError, RuntimeError) as error:
        warnings.warn(f"plug-ins of {group} could not be looked for: {reason(error)}", stacklevel=2)
        return {}
    found = {
        point.name: guarded(group, point.name, lambda point=point: check(point.name, point.load())) for point in points
    }
    return {name: thing for name, thing in found.items() if thing is not None}


def are_there(group: str) -> bool:
    """Return whether any package has an entry point of a group; nothing of it is loaded."""
    return bool(_points(group))


def _points(group: str) -> Sequence[Any]:
    """Return the entry points of a group.

    The library that lists them takes as long to load as the rest of a small command: it is, where any are there.
    """
    if "importlib.metadata" not in sys.modules and not _are_named(group):
        return ()
    from importlib.metadata import entry_points

    return entry_points(group=group)


def _are_named(group: str) -> bool:
    """Return False if no package that can be imported names a group; True if one may."""
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder.__module__ != _OWN_FINDERS):
        return True
    wanted = group.encode()
    return any(_may_name(path or ".", wanted) for path in sys.path if os.path.exists(path or "."))


def _may_name(path: str, wanted: bytes) -> bool:
    if not os.path.isdir(path) or path.endswith(".egg"):
        return True  # a zip file, or a package in a form of its own
    with suppress(OSError):
        for name in os.listdir(path):
            if name.lower().endswith(_INFOS):
                with suppress(OSError), open(os.path.join(path, name, "entry_points.txt"), "rb") as file:
                    if wanted in file.read():
                        return True
    return False


def guarded(group: str, name: str, function: Callable[..., Thing], *arguments: Any) -> Thing | None:
    """Call code of another package; None, and a warning that names it, when it fails."""
    try:
        return function(*arguments)
    except Exception as error:
        warnings.warn(f"the plug-in {name} (entry point of {group}) does not work: {reason(error)}", stacklevel=3)
        return None


def reason(error: BaseException) -> str:
    """Return an error of somebody else's as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
