"""Predictions beside the running kernel: what is saved for as many pages scanned. No clock is asked."""

import pytest

from pksm import report
from pksm.errors import UnsupportedError, UsageError
from pksm.linux.ksm.borrow import require
from pksm.validation import calibrate, predict
from pksm.validation.kernel import calibrate as calibrating

from support.documents import faults

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def borrowed():
    try:
        require()
    except UnsupportedError as error:
        pytest.skip(str(error))


def test_what_is_saved_is_predicted_for_every_number_of_pages_scanned():
    document = predict(["interpreters"], runs=1)
    assert faults(document) == []
    assert [row["setting"] for row in document["rows"]] == ["recommended", "slow", "fast"]
    for row in document["rows"]:
        assert row["saved_by_scanned"] <= 0.02 and row["saved"]["kernel"] > 500
        assert row["saved"]["ours"] == pytest.approx(row["saved"]["kernel"], rel=0.02)
    table = report.table(document, 120)
    assert "interpreters" in table and "Every run" in table
    assert len(report.csv(document).splitlines()) == 1 + 3


def test_an_unknown_program_is_refused():
    with pytest.raises(UsageError, match="unknown program 'nothing': choose from redis, "):
        predict(["nothing"])


def test_prices_are_measured(monkeypatch):
    monkeypatch.setattr(calibrating, "SUBJECTS", (calibrating.Subject("a", 2048, 3), calibrating.Subject("c", 2048, 3)))
    monkeypatch.setattr(calibrating, "REPEATS", 1)
    found = calibrate()
    assert len(found.samples) == 7 and found.prices.hashed_byte_ns + found.prices.visit_ns > 0
    assert found.prices.tick_ms in (1, 10 / 3, 4, 10) or found.prices.tick_ms > 0
