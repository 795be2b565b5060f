"""The table in a file of fingerprints: what it says of its sources, held against what it can be."""

import json
from types import NoneType
from typing import Any

# What a table may hold at most: more takes minutes to look at, and no machine has that much.
TABLE_BYTES = 1 << 27
MOST_SOURCES, MOST_MAPPINGS = 1 << 15, 1 << 22
MOST_LETTERS, MOST_LETTERS_SHOWN = 1 << 16, 1 << 24  # of a text; of all that are not names of mappings
LETTERS_A_TEXT = 32  # that a text counts as beside its own: showing a line takes as long
PARSED_BYTES = 24  # that a byte of JSON takes when it is parsed, at most
MOST_PAGES = 1 << 52  # that one number of the table can count
# What facts there may be, and of what type; these alone are kept.
FACTS: dict[str, Any] = {
    "pid": int,
    "command": str,
    "user": str,
    "racy": (int, NoneType),
    "frozen": bool,
    "ksm_merged": (int, NoneType),
    "opted_in": int,
}


def checked_table(text: bytes) -> dict[str, Any] | None:
    """Return the table, None if it can't be right."""
    try:
        table: dict[str, Any] = json.loads(text.decode("utf-8"))
        sources = table["sources"]
        fine = type(sources) is list and 0 < len(sources) <= MOST_SOURCES and all(map(_is_fine, sources))
        fine = fine and sum(len(source["mappings"]) for source in sources) <= MOST_MAPPINGS
        fine = fine and type(table["partial"]) is bool and _are_texts(table["warnings"])
        fine = fine and type(table["time"]) is int and 0 <= table["time"] < MOST_PAGES
        fine = fine and sum(map(_letters_shown, sources), _letters(table["warnings"])) <= MOST_LETTERS_SHOWN
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fine = False
    return table if fine else None


def _are_texts(lines: Any) -> bool:
    return type(lines) is list and all(map(_is_text, lines))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_LETTERS


def _letters_shown(source: dict[str, Any]) -> int:
    facts = [value for value in source["facts"].values() if isinstance(value, str)]
    texts = [source["name"], source["kind"], *source["out_of_reach"], *source["warnings"], *facts]
    return _letters(texts)


def _letters(texts: list[str]) -> int:
    return sum(map(len, texts)) + LETTERS_A_TEXT * len(texts)


def _is_fine(source: dict[str, Any]) -> bool:
    """Return whether an entry of the table has the fields it must have."""
    facts = source["facts"]
    zero = source["zero"]
    numbers = [
        source["pages"],
        source["zero_pages"],
        *zero,
        sum(zero),
        source["lost"],
        *source["out_of_reach"].values(),
    ]
    numbers += [facts[name] for name in ("racy", "ksm_merged", "opted_in") if facts.get(name) is not None]
    texts = [source["name"], source["kind"], *source["out_of_reach"]]
    return (
        all(type(number) is int and 0 <= number < MOST_PAGES for number in numbers)
        and all(map(_is_text, texts))
        and _are_texts(source["mappings"])
        and _are_texts(source["warnings"])
        and type(zero) is list
        and len(zero) == len(source["mappings"])
        and all(isinstance(facts[name], kind) for name, kind in FACTS.items() if name in facts)
        and ("command" in facts) == ("user" in facts)
    )
