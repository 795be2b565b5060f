"""Settings of any policy: ranges, choices, text, copies."""

import pickle
from dataclasses import dataclass

import pytest

from pksm.engine.settings import Settings, parse_value, preset_of, setting
from pksm.errors import UsageError


@dataclass(frozen=True)
class Some(Settings):
    pages: int = setting(5, "pages", 1, 10)
    order: str = setting("up", "which way", choices=("up", "down"))
    name: str = setting("x", "any word")
    parts: frozenset[str] = setting(frozenset(), "words")


@dataclass(frozen=True)
class More(Some):
    depth: int = setting(0, "levels", 0, 3)


def test_entries_are_those_of_the_class():
    assert list(Some.entries()) == ["pages", "order", "name", "parts"]
    assert list(More.entries()) == ["pages", "order", "name", "parts", "depth"]
    assert More.entries()["depth"].metadata["high"] == 3


@pytest.mark.parametrize("changes", [{"pages": 0}, {"pages": 11}, {"pages": True}, {"pages": "5"}, {"order": "on"}])
def test_values_out_of_range_are_refused_wherever_they_come_from(changes):
    ((name, _),) = changes.items()
    for make in (Some, Some().with_):
        with pytest.raises(UsageError, match=name):
            make(**changes)


def test_a_copy_with_changes_is_of_the_same_class():
    deeper = More().with_(depth=3, parts=frozenset({"b", "a"}))
    assert deeper == More(depth=3, parts=frozenset({"a", "b"})) != More()
    assert pickle.loads(pickle.dumps(deeper)) == deeper and len({deeper, More()}) == 2
    assert deeper.as_dict() == {"pages": 5, "order": "up", "name": "x", "parts": ["a", "b"], "depth": 3}
    with pytest.raises(UsageError, match="unknown setting 'deep': did you mean depth[?] choose from pages, order"):
        deeper.with_(deep=1)


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("pages", "7", 7),
        ("name", "a=b", "a=b"),
        ("parts", "a,b", {"a", "b"}),
        ("parts", "", set()),
        ("order", "down", "down"),
    ],
)
def test_text_has_the_type_of_the_default(name, text, expected):
    assert parse_value(name, text, Some.entries()[name]) == expected


def test_presets_are_listed_when_there_is_none_of_that_name():
    assert preset_of({"a": Some()}, "a") == Some()
    with pytest.raises(UsageError, match="unknown preset 'c': choose from a, b"):
        preset_of({"a": Some(), "b": Some()}, "c")
