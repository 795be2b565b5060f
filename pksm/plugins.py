"""Entry points of other packages: a broken one is named in a warning and stops nothing."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Thing = TypeVar("Thing")


def load(group: str, check: Callable[[str, Any], Thing]) -> dict[str, Thing]:
    """Return {name: what check(name, loaded object) returns} of the entry points of a group that work, by name.

    Whatever loading or checking one raises becomes a warning, and it is left out; so are all of them where the system
    refuses to say which there are.
    """
    from importlib.metadata import entry_points

    try:
        points = sorted(entry_points(group=group), key=lambda point: point.name)
    except (OSError, RuntimeError) as error:
        warnings.warn(f"plug-ins of {group} could not be looked for: {reason(error)}", stacklevel=2)
        return {}
    found = {
        point.name: guarded(group, point.name, lambda point=point: check(point.name, point.load())) for point in points
    }
    return {name: thing for name, thing in found.items() if thing is not None}


def are_there(group: str) -> bool:
    """Return whether any package has an entry point of a group; nothing of it is loaded."""
    from importlib.metadata import entry_points

    return bool(entry_points(group=group))


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
