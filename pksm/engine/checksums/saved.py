"""Checksums in states: which one it was, with all that it has learned."""

from pksm.engine import native
from pksm.engine.checksums import plugins
from pksm.engine.checksums.adaptive import Adaptive
from pksm.engine.checksums.strategies import make
from pksm.engine.native.checksums import Checksum
from pksm.engine.state import State, column, number
from pksm.errors import UsageError


def state_of(checksum: native.AnyChecksum, made_of: tuple[str, int] | None) -> State:
    """Return the State of a checksum.

    Args:
        checksum: it.
        made_of: name and seed that it was made of by make, None if somebody gave it as it is.
    """
    if isinstance(checksum, Adaptive):
        return {"kind": "adaptive", **checksum.state()}
    if made_of is not None:
        return {"kind": "made", "name": made_of[0], "seed": made_of[1]}
    if type(checksum) is Checksum:
        return {"kind": "core", "name": checksum.name, "words": checksum.words, "run": checksum.run}
    return {"kind": "other", "name": checksum.name}


def restored(state: State, page_size: int) -> native.AnyChecksum:
    """Return the checksum of a State. UsageError if it is somebody's own, and not registered."""
    kind, name = state["kind"], str(state.get("name"))
    if kind == "adaptive":
        return Adaptive.restored(state)
    if kind == "made":
        return make(name, page_size, state["seed"])
    if kind == "core":
        words = state["words"]
        return native.Checksum(name, None if words is None else column(words, "u4"), number(state["run"], 1, 1 << 30))
    if name not in plugins.known():
        raise UsageError(f"checksum {name!r} is not one that pksm knows: register it, or give resume(checksum=...)")
    return plugins.known()[name].make()
