"""The chapters on fidelity, the quirks and the presets say the same."""

import json
import re

import pytest

from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.quirks import QUIRKS

from support import ROOT
from support.scripts import script

CHAPTERS = ROOT / "docs" / "explanation" / "fidelity"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted(CHAPTERS.glob("*.md")))
PRESETS = ("v0.1", "v0.2", "android-3.4", "reveriel")
SEEN_IN = {"pksmd": "tests/policies/pksmd/test_quirks.py", "machine": "tests/hosts/machine/test_quirks.py"}


def ledger():
    """Return {quirk: (published, [marked in each of PRESETS], seen in)} of the ledger's table."""
    head, rows = "| quirk | published behaviour | ours | v0.1 | v0.2 | android-3.4 | reveriel | seen in |", {}
    table = TEXT.split(head)[1].strip().splitlines()[1:]
    for line in table[: next((at for at, line in enumerate(table) if not line.startswith("|")), len(table))]:
        quirk, published, _, *marks, seen = [cell.strip() for cell in line.strip("|").split("|")]
        rows[quirk] = published, [mark == "●" for mark in marks], seen
    return rows


def test_every_quirk_has_its_row_and_no_other():
    assert list(ledger()) == list(QUIRKS)


@pytest.mark.parametrize("quirk", QUIRKS)
def test_row_says_what_the_quirk_is(quirk):
    published, marks, seen = ledger()[quirk]
    _, text = QUIRKS[quirk]
    assert published == text
    assert marks == [quirk in tunables.preset(name).quirks for name in PRESETS]
    assert f"*{seen}* is `{SEEN_IN[seen]}`" in " ".join(TEXT.split())


@pytest.mark.parametrize("quirk", QUIRKS)
def test_the_test_named_there_is_about_the_quirk(quirk):
    """It toggles that switch, and a test there has its name."""
    text = (ROOT / SEEN_IN[ledger()[quirk][2]]).read_text(encoding="utf-8")
    assert f'"{quirk}"' in text
    assert re.search(rf"def test_\w*{quirk.replace('-', '_')}", text)


# ---- the seed notes ----

# what the notes have: every function, and how many questions and things to do
FUNCTIONS = """cmp_and_merge_page remove_rmap_item_from_tree try_to_merge_zero_page pksm_rmap_walk pksm_merge_zero_page
write_protect_page replace_page stable_tree_search try_to_merge_with_pksm_page stable_tree_append
unstable_tree_search_insert try_to_merge_two_pages stable_tree_insert rmap_walk_ksm try_to_merge_one_anon_page
pksm_wrprotect_pte pksm_del_anon_page ksm_do_scan pksm_upsate_unstable_page_checksum pksm_calc_update_pages_num
page_remove_rmap try_to_free_swap set_page_stable_ksm search_new_forks""".split()
QUESTIONS, TODOS = 3, 6


def notes():
    """Return [(in the notes, where, decided, test)]: each a term, and what is said of it behind colons."""
    rows = []
    for paragraph in (CHAPTERS / "seed-notes.md").read_text(encoding="utf-8").split("\n\n"):
        if "\n: " in paragraph:
            term, *said = (" ".join(part.split()) for part in paragraph.split("\n: "))
            assert len(said) == 3 and said[1].startswith("Code: ") and said[2].startswith("Test: "), term
            rows.append((term, said[1], said[0], said[2]))
    return rows


def test_every_function_and_question_of_the_notes_has_a_row():
    told = " ".join(row[0] for row in notes())
    assert not [name for name in FUNCTIONS if name not in told]
    assert len([row for row in notes() if row[0].startswith("Q: ")]) == QUESTIONS
    assert len([row for row in notes() if "TODO" in row[0]]) >= TODOS


@pytest.mark.parametrize("row", notes(), ids=lambda row: row[0][:50])
def test_what_a_row_of_the_notes_names_is_there(row):
    root = ROOT
    _, where, decided, test = row
    assert decided
    for column, kinds in ((where, ("pksm/", "csrc/")), (test, ("tests/",))):
        named = re.findall(r"`([^`]+)`", column)
        assert named
        for path, _, name in (entry.partition(": ") for entry in named):
            assert path.startswith(kinds)
            text = (root / path).read_text(encoding="utf-8")
            assert re.search(rf"(\bdef |\bclass |^|\s|\"){re.escape(name)}\b", text, re.M), f"no {name} in {path}"
            if path.startswith("tests/") and name:
                assert re.search(rf"^(def {re.escape(name)}\(|{re.escape(name)} = )", text, re.M), f"{name} is no test"


# ---- what was measured ----


def test_the_choices_table_is_what_was_stored():
    proposals = script("proposals")
    assert "\n".join(proposals.table(json.loads(proposals.STORED.read_text(encoding="utf-8")))) in TEXT


def test_choices_are_measured(tmp_path, capsys):
    """At a size where a run takes no time: every value of every choice gets its row."""
    proposals = script("proposals")
    proposals.REPEATS = 1
    assert proposals.main(["--pages", "200", "--to", str(tmp_path / "choices.json")]) == 0
    rows = json.loads((tmp_path / "choices.json").read_text())["rows"]
    assert {
        name: tuple(row["value"] for row in rows if row["setting"] == name) for name in proposals.CHOICES
    } == proposals.CHOICES
    assert all(row["value"] in tunables.SETTINGS[row["setting"]].metadata["choices"] for row in rows)
    saved = {(row["setting"], row["value"]): row["frames_saved_end"] for row in rows}
    assert saved["births", "anonymous"] < saved["births", "all"]
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 2


# ---- measured ----

MEASURED = ROOT / "benchmarks" / "results" / "checksum-profile.json"


def measured_rows():
    """The rows of the table, made of the stored profile: PKSM's sample beside our default."""
    document = json.loads(MEASURED.read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in document["strategies"]}
    sample, ours = rows["sampled"], rows["xxh3-64"]

    def missed(row, kind):
        return f"{100 * row['missed'][kind]['measured']:.1f} %"

    def blind(what, kind):
        low, high = (100 * sample["missed"][kind][end] for end in ("low", "high"))
        calculated = f"{100 * sample['missed'][kind]['analytic']:.1f} %"
        cells = f"{missed(sample, kind)} ({low:.1f} to {high:.1f})", calculated, missed(ours, kind)
        return ("blind-sample", f"{what} missed", *cells)

    def count(quirk, what, key, calculated="", of=""):
        cells = (f"{row[key]:,}{of}" for row in (sample, ours))
        first, second = cells
        return quirk, what, first, calculated, second

    return [
        blind("changes of one word", "1_word"),
        blind("changes of eight words", "8_words"),
        blind("changes of a cache line", "line"),
        count("blind-sample", "pages that one word's change made equal to another, never merged", "missed_after_change",
              of=f" of {sample['changes']:,}"),
        count("sparse-zero-lost", "pages that look zero to the checksum and are not", "false_zero"),
        count("one-content-per-hash", "pairs of contents with one checksum", "colliding_pairs",
              f"{sample['expected_pairs']:.0f}"),
        count("collision-is-success", "pages in limbo, with the quirks of v0.2", "limbo_pages"),
    ]  # fmt: skip


def test_the_numbers_are_those_that_the_profiler_measured():
    """`make bench BENCH=profile` measures them anew, and writes the table."""
    table = TEXT.split("| quirk | measured | PKSM's sample | calculated | our default |")[1].strip().split("\n\n")[0]
    lines = [line for line in table.splitlines()[1:] if line.startswith("|")]
    written = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert written == [tuple(map(str, row)) for row in measured_rows()]
    document = json.loads(MEASURED.read_text(encoding="utf-8"))
    assert document["subjects"][0]["name"] == "workload f" and document["subjects"][0]["pages"] == 262144
