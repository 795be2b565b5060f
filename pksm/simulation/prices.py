"""The price list that a simulation goes by: measured on this machine, or the defaults of a kernel."""

import json
import platform
from collections.abc import Mapping
from typing import Any, Final

from pksm.engine.cost import Prices, prices_of
from pksm.errors import UsageError
from pksm.linux import system, user_data
from pksm.linux.new_file import new_file

FILE: Final = "prices.json"
SCHEMA: Final = "pksm.prices/1"


def prices_here() -> Prices:
    """Return the prices that were measured on this machine and kernel, or the defaults of its kernel's version."""
    return stored() or prices_of(platform.release())


def stored() -> Prices | None:
    """Return the prices that were measured on this machine and kernel; None if there are none."""
    data = user_data.read(FILE)
    if data is None:
        return None
    try:
        found = json.loads(data)
        here = found["schema"] == SCHEMA and found["machine"] == _machine()
        return Prices.of_dict(found["prices"]) if here else None
    except (ValueError, KeyError, TypeError, RecursionError, UsageError):
        return None


def store(prices: Prices) -> str:
    """Keep prices that were measured on this machine, and return the path of their file.

    Raises:
        UnsupportedError: the user's data directory can't be made.
        PksmError: the file can't be written.
    """
    user_data.make_directory()
    path = user_data.path_of(FILE)
    document = {"schema": SCHEMA, "machine": _machine(), "prices": prices.as_dict()}
    data = json.dumps(document, indent=2).encode() + b"\n"
    with new_file(path, "prices", lambda first: SCHEMA.encode() in first) as new:
        new.write(lambda file: file.write(data))
    return path


def _machine() -> Mapping[str, Any]:
    return {"cpu": system.processor(), "kernel": platform.release()}
