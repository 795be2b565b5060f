"""Settings: values with a meaning and a range each, as a policy has them."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from functools import cache
from typing import Any, Self, TypeVar

from pksm.errors import UsageError
from pksm.naming import unknown


def setting(
    default: Any,
    text: str,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """Declare a field of a class of Settings.

    Args:
        default: its value unless a preset or somebody says otherwise; its type is that of the setting.
        text: unit and meaning, a few words.
        low, high: the range of a whole number, both included.
        choices: the words it can be.
    """
    return field(default=default, metadata={"text": text, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """Base of the settings of a policy: a frozen dataclass whose fields are setting(...).

    Ranges are checked whenever one is made. Settings are data: they pickle, compare and hash.
    """

    def __post_init__(self) -> None:
        for name, entry in self.entries().items():
            check_setting(name, getattr(self, name), entry)

    @classmethod
    @cache
    def entries(cls) -> dict[str, Field[Any]]:
        """Return {name: field}; a field's metadata has its text, low, high and choices."""
        return {entry.name: entry for entry in fields(cls)}

    def with_(self, **changes: Any) -> Self:
        """Return a copy with changes. UsageError for an unknown name or a value out of range."""
        strange = sorted(changes.keys() - self.entries().keys())
        if strange:
            raise unknown("unknown setting", strange[0], self.entries())
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return {name: value}, ready for JSON: sets as sorted lists."""
        values = {name: getattr(self, name) for name in self.entries()}
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}


Chosen = TypeVar("Chosen", bound=Settings)


def preset_of(presets: Mapping[str, Chosen], name: str) -> Chosen:
    """Return a preset by name. UsageError that lists them if there is none."""
    if name not in presets:
        raise unknown("unknown preset", name, presets)
    return presets[name]


def check_setting(name: str, value: Any, entry: Field[Any]) -> None:
    """Raise UsageError unless a value fits a setting's range."""
    low, choices = entry.metadata["low"], entry.metadata["choices"]
    if low is not None:
        high = entry.metadata["high"]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UsageError(f"{name}={value}: must be a whole number from {low} to {high}")
    elif choices is not None and value not in choices:
        raise UsageError(f"{name}={value}: must be one of {', '.join(choices)}")


def parse_value(name: str, text: str, entry: Field[Any]) -> Any:
    """Return a setting's value, given as text: of the type of its default. UsageError if it can't be read."""
    if isinstance(entry.default, frozenset):
        return frozenset(part for part in text.split(",") if part)
    if not isinstance(entry.default, int):
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name}={text}: must be a whole number") from None
