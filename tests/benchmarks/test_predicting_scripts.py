"""The scripts of benchmarks/ about advice, sweeps and predictions, and what they stored. No speeds here."""

import json

import pytest

from pksm.errors import PksmError

from support import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def stored(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_advice_on_an_image_is_timed_and_checked(script, tmp_path, capsys):
    advise_image = script("advise_image")
    path = tmp_path / "found.json"
    assert advise_image.main(["--pages", "65536", "--directory", str(tmp_path), "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["simulations"] == 7 and found["memory_mib"] > 1 and found["verdict"] == "turn it on"
    assert [one.name for one in tmp_path.iterdir()] == ["found.json"]
    assert "7 simulations to rest" in capsys.readouterr().out


def test_advice_that_leaves_pages_out_is_refused(script, tmp_path):
    advise_image = script("advise_image")
    load = advise_image.scan_image.make_image(tmp_path / "image", "b", 400)
    row = {"label": "100 pages", "saved_bytes": 100 * 4096}
    document = {"pages": 400, "page_size": 4096, "partial": False, "warnings": [], "pareto": [row]}
    advise_image.check(document, load)
    for wrong, said in (
        ({"pages": 399}, "pages should be 400"),
        ({"warnings": ["one"]}, "warnings should be"),
        ({"pareto": [row, {**row, "saved_bytes": 0}]}, "should save 409600 bytes"),
    ):
        with pytest.raises(PksmError, match=said):
            advise_image.check(document | wrong, load)


def test_what_misses_its_target_is_named(script):
    took = {"wall_s": 61, "memory_mib": 1600, "simulations": 6}
    assert script("advise_image").missed(took) == ["61.0 s, not 60", "1,600 MiB, not 1,536"]
    assert script("sweep_workers").missed({"own_s": 100, "cluster_s": 111}) == ["+11.0% on Dask, not +10%"]
    pair = {"kernel": 1.0, "ours": 1.2}
    row = {"workload": "redis", "setting": "slow", "saved_by_scanned": 0.03}
    row |= dict.fromkeys(("saved", "reached_50_s", "cpu_s"), pair) | {"reached_90_s": {"kernel": 1.0, "ours": 0.9}}
    assert script("predictions").missed({"rows": [row]}) == [
        "redis, slow: pages saved +20.0%, not 2%",
        "redis, slow: half after +20.0%, not 15%",
        "redis, slow: saved by scanned 3.0%, not 2%",
    ]


@pytest.mark.parametrize("name, file", [("advise_image", "advise-image"), ("sweep_workers", "sweep-workers")])
def test_what_is_stored_misses_no_target(script, name, file):
    assert script(name).missed(stored(file)) == []


def test_predictions_are_stored_for_all_programs_and_none_misses(script):
    document = stored("predict")
    assert {row["workload"] for row in document["rows"]} == {"redis", "python-forks", "interpreters", "perls", "qemu"}
    assert document["runs"] == 5 and all(len(row["every_run"]) == 5 for row in document["rows"])
    assert script("predictions").missed(document) == []
