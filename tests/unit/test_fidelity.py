"""FIDELITY.md, the quirks and the presets say the same."""

import re
from pathlib import Path

import pytest

from pksm import tunables

TEXT = (Path(__file__).resolve().parents[2] / "FIDELITY.md").read_text(encoding="utf-8")
PRESETS = ("v0.1", "v0.2", "android-3.4", "reveriel")


def ledger():
    """Return {quirk: (published, [marked in each of PRESETS], seen in)} of the ledger's table."""
    head, rows = "| quirk | published behaviour | ours | v0.1 | v0.2 | android-3.4 | reveriel | seen in |", {}
    table = TEXT.split(head)[1].strip().splitlines()[1:]
    for line in table[: next((at for at, line in enumerate(table) if not line.startswith("|")), len(table))]:
        quirk, published, _, *marks, seen = [cell.strip() for cell in line.strip("|").split("|")]
        rows[quirk] = published, [mark == "●" for mark in marks], seen
    return rows


def test_every_quirk_has_its_row_and_no_other():
    assert list(ledger()) == list(tunables.QUIRKS)


@pytest.mark.parametrize("quirk", tunables.QUIRKS)
def test_row_says_what_the_quirk_is(quirk):
    published, marks, seen = ledger()[quirk]
    on_any_host, text = tunables.QUIRKS[quirk]
    assert published == text
    assert marks == [quirk in tunables.preset(name).quirks for name in PRESETS]
    assert (seen == "*needs page tables*") == (not on_any_host)


@pytest.mark.parametrize("quirk", [quirk for quirk, (on_any_host, _) in tunables.QUIRKS.items() if on_any_host])
def test_the_test_named_there_is_about_the_quirk(quirk):
    (path,) = re.findall(r"`(tests/[^`]+)`", ledger()[quirk][2])
    assert quirk in (Path(__file__).resolve().parents[2] / path).read_text(encoding="utf-8")
