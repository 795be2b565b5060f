"""Recordings as Parquet: every operation and event is a row, in order."""

import json

import pytest
from hypothesis import given

from pksm.errors import UsageError
from pksm.recording.events import SHAPES, Kind
from pksm.recording.parquet import METADATA, export

from support.recordings import block, recorded, stories

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
COLUMNS = ["ms", "space", "kind", "page", "content", "pages", "pid", "parent", "name", "mergeable"]


def rows_of(story):
    """What the rows say of a story: tuples without what is null."""
    rows = []
    for one in story:
        for name, *fields in one.operations:
            rows.append((one.ms, one.space, name, *fields))
        contents = iter(one.contents.tolist())
        for page, kind in zip(one.pages.tolist(), one.kinds.tolist(), strict=True):
            held = (next(contents),) if kind in (Kind.BIRTH, Kind.WRITE) else ()
            rows.append((one.ms, one.space, Kind(kind).name.lower(), page, *held))
    return rows


def said(row):
    order = {"fork": ("parent", "pid", "name"), "start": ("pid", "name"), "map": ("page", "pages", "name", "mergeable")}
    names = order.get(row["kind"], [name for name in COLUMNS[3:] if row[name] is not None])
    if row["kind"] in SHAPES:
        assert len(names) == len(SHAPES[row["kind"]])
    assert {name for name in COLUMNS[3:] if row[name] is not None} == set(names)
    return (row["ms"], row["space"], row["kind"], *(row[name] for name in names))


@given(stories())
def test_every_event_is_a_row(told):
    story = [one for one, _ in told[0]]
    with recorded(story, 5) as path:
        to = path.with_suffix(".parquet")
        assert export(path, str(to)) == len(rows_of(story))
        table = parquet.read_table(to)
        assert table.column_names == COLUMNS
        assert [said(row) for row in table.to_pylist()] == rows_of(story)
        assert json.loads(table.schema.metadata[METADATA])["page_size"] == 4096
        assert to.stat().st_mode & 0o777 == 0o600


def test_names_that_are_not_text_are_written():
    with recorded([block(0, 0, [("start", 1, "a\udc80b")])], 0) as path:
        export(path, str(path.with_suffix(".parquet")))
        [row] = parquet.read_table(path.with_suffix(".parquet")).to_pylist()
        assert row["name"] == "a?b"


def test_what_is_there_and_is_not_parquet_stays():
    with recorded([block(0, 0, [("start", 1, "a")])], 0) as path:
        other = path.with_suffix(".txt")
        other.write_text("mine")
        with pytest.raises(UsageError, match="is there already"):
            export(path, str(other))
        assert other.read_text() == "mine"
