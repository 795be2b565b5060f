"""Fingerprints as Parquet: a row per record, and the recipe of the documentation counts as pksm fleet does."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.cli.main import main
from pksm.errors import PksmError, UsageError
from pksm.fleet import Settings, fleet
from pksm.sources.fingerprints.parquet import METADATA, export

from support.cli_runs import is_one_line
from support.writers.fingerprints import fingerprints

pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto" / "fleets.md"
sums = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def written(folder, name, sources, **how):
    path = folder / f"{name}.fp"
    path.write_bytes(fingerprints(sources, **how))
    to = folder / f"{name}.parquet"
    return path, to, export(path, str(to))


@given(one=sums, two=sums)
def test_every_record_is_a_row(one, two, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    path, to, n = written(folder, "a", {"web\udc80": ({}, one), "db": ({}, two)})
    table = parquet.read_table(to)
    assert table.column_names == ["sum", "tail", "pages", "source", "mapping", "frame"]
    rows = table.to_pylist()
    assert n == len(rows) == len(one) + len(two)
    expected = [(value, value * 3, name, ("[heap]", "lib.so")[page % 2])
                for name, values in (("web?", one), ("db", two)) for page, value in enumerate(values)]  # fmt: skip
    assert sorted((row["sum"], row["tail"], row["source"], row["mapping"]) for row in rows) == sorted(expected)
    assert all(row["pages"] == 1 for row in rows)  # each frame is one record's alone here
    about = json.loads(table.schema.metadata[METADATA])
    assert about["page_size"] == 4096 and [one["name"] for one in about["sources"]] == ["web?", "db"]
    assert to.stat().st_mode & 0o777 == 0o600


def test_a_sample_has_its_heavy_contents(tmp_path):
    _, to, n = written(tmp_path, "a", {"vm": ({}, [3, 5])}, below=1 << 60, heavy=[(1 << 62, 700)])
    rows = parquet.read_table(to).to_pylist()
    assert n == 3 and [row["pages"] for row in rows] == [1, 1, 700]


def test_what_holds_none_is_refused(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"x" * 5000)
    with pytest.raises(PksmError, match="holds no fingerprints"):
        export(other, str(tmp_path / "a.parquet"))
    path, _, _ = written(tmp_path, "b", {"vm": ({}, [1])})
    with pytest.raises(UsageError, match="other"):
        export(path, str(other))
    assert other.read_bytes() == b"x" * 5000 and not (tmp_path / "a.parquet").exists()


def test_the_recipe_counts_as_the_fleet_does(tmp_path, monkeypatch):
    """The SQL in the documentation, as it stands there."""
    duckdb = pytest.importorskip("duckdb")
    paths = []
    for number, values in enumerate(([1, 2, 3, 3, 4], [3, 4, 5, 5, 6], [1, 9])):
        path, _, _ = written(tmp_path, f"h{number}", {"vm": ({}, values)})
        paths.append(str(path))
    document = fleet(paths, Settings(workers=1))
    [recipe] = re.findall(r"```sql\n(.*?)```", HOWTO.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    [(everywhere, within)] = duckdb.sql(recipe).fetchall()
    saving = {one["within"]: one["saving_pages"]["value"] for one in document["partitions"]}
    zero = document["zero_pages"]
    assert everywhere == saving["all"] - zero and within == saving["host"] - zero


def test_the_verb(tmp_path, capfd):
    path, to, _ = written(tmp_path, "a", {"vm": ({}, [1, 2])})
    to.unlink()
    assert main(["fingerprint", "--export", str(to), str(path)]) == 0
    assert is_one_line(capfd.readouterr().err, "2 rows") and parquet.read_table(to).num_rows == 2
    for wrong in (["--export", str(to)], ["--export", str(to), str(path), "-o", "b.fp"]):
        assert main(["fingerprint", *wrong]) == 2
        assert is_one_line(capfd.readouterr().err, "--export")
