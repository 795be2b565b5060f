"""Fields that records of kernels must have."""

from collections.abc import Mapping
from typing import Any

from pksm.errors import PksmError


def check_fields(record: Any, kinds: Mapping[str, type], where: str) -> None:
    """Raise PksmError, which says where, unless a record is an object with these fields, each of its type."""
    if not isinstance(record, dict):
        raise PksmError(f"{where}: must be an object")
    for name, kind in kinds.items():
        if name not in record:
            raise PksmError(f"{where}: field {name}: missing")
        if not isinstance(record[name], kind) or isinstance(record[name], bool):
            raise PksmError(f"{where}: field {name}: must be of type {kind.__name__}")
