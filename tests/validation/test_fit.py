"""Prices that fit what was measured."""

import json

import pytest

from pksm import report
from pksm.engine.cost import PRICES, Prices
from pksm.simulation import prices as kept
from pksm.validation.kernel import calibrate as calibrating
from pksm.validation.kernel.calibrate import COLUMNS, Calibration, Sample, fit

from support.documents import faults

TRUE = {
    "wake_ns": 9000,
    "visit_ns": 300,
    "step_ns": 120,
    "hashed_byte_ns": 0.25,
    "compared_byte_ns": 0.05,
    "merge_ns": 700,
}
WORK = [
    (100, 1000, 0, 0, 0, 0),
    (1, 5000, 0, 0, 0, 0),
    (1, 4000, 90_000, 16_000_000, 9000, 0),
    (1, 4000, 40_000, 16_000_000, 90_000_000, 0),
    (1, 4000, 0, 16_000_000, 0, 0),
    (1, 3000, 50_000, 12_000_000, 900_000, 2000),
    (1, 3000, 50_000, 12_000_000, 8_000_000, 500),
]


def sample(work, prices=TRUE, factor=1.0):
    return Sample("", work, factor * sum(prices[name] * amount for name, amount in zip(COLUMNS, work, strict=True)))


def test_exact_times_give_the_true_prices():
    assert fit([sample(work) for work in WORK]) == pytest.approx(TRUE, rel=1e-6)


def test_prices_are_never_below_zero_and_a_free_merge_spoils_no_other():
    cheap = {**TRUE, "merge_ns": -5.0}
    found = fit([sample(work, cheap) for work in WORK])
    assert found["merge_ns"] == 0 and min(found.values()) >= 0
    assert found["visit_ns"] == pytest.approx(TRUE["visit_ns"], rel=0.05)


def test_errors_count_by_their_part_of_the_time():
    """A sample of few pages that is 10 % off weighs as much as one of many."""
    many = [(1, 10**6, 0, 0, 0, 0), (1, 10, 0, 0, 0, 0)]
    samples = [sample(many[0]), sample(many[1], factor=1.2)]
    found = fit([s._replace(work=(0, *s.work[1:])) for s in samples])
    assert TRUE["visit_ns"] * 1.02 < found["visit_ns"] < TRUE["visit_ns"] * 1.9


def test_prices_are_kept_for_this_machine_and_kernel_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert kept.stored() is None and kept.prices_here() in PRICES.values()
    mine = Prices.of_dict({**PRICES["6.18"].as_dict(), "source": "mine", "visit_ns": 1.5})
    path = kept.store(mine)
    assert kept.stored() == kept.prices_here() == mine
    document = json.loads(open(path).read())
    for wrong in ({**document, "machine": {}}, {**document, "prices": {}}, {"schema": "x"}, [], 7):
        with open(path, "w") as file:
            json.dump(wrong, file)
        assert kept.stored() is None
    with open(path, "w") as file:
        file.write("nonsense")
    assert kept.stored() is None


def test_the_document_of_a_calibration():
    calibration = Calibration(PRICES["6.18"], [Sample("a load", WORK[2], 1e7)])
    document = calibrating.document_of(calibration, "/somewhere/prices.json")
    assert faults(document) == []
    for shown in ("/somewhere/prices.json", "a load", "a byte hashed"):
        assert shown in report.table(document)
    assert report.csv(document).splitlines()[0] == "subject,pages_visited,cpu_ns,predicted_ns"
