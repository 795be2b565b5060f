"""Recordings of programs at work, played beside what the running kernel's ksmd did meanwhile."""

import pytest

from pksm import report
from pksm.errors import UnsupportedError, UsageError
from pksm.linux.ksm.borrow import require
from pksm.validation import replayed

from support.documents import faults

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def borrowed():
    try:
        require()
    except UnsupportedError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("track", ["hashes", "writes"])
def test_a_fork_server_is_recorded_and_played_at_the_kernels_pace(track):
    document = replayed(["fork-server"], runs=1, seconds=8, track=track)
    assert faults(document) == []
    if document["skipped"]:
        pytest.skip(document["skipped"][0]["reason"])
    [row] = document["rows"]
    [run] = row["every_run"]
    assert run["samples"] >= 2 and run["pages"] > 5000
    assert run["kernel"]["pages_scanned"] > 0
    scanned = run["followed"]["pages_scanned"]
    assert scanned == pytest.approx(run["kernel"]["pages_scanned"], rel=0.1), "it was awake whenever the kernel's was"
    for side in (run["kernel"], run["ours"], run["followed"]):
        assert 0 <= side["saved"] <= run["pages"]
    table = report.table(document, 120)
    assert "fork-server" in table and "followed" in table and "Every run" in table
    assert len(report.csv(document).splitlines()) == 1 + 3


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="unknown program 'nothing': choose from redis, "):
        replayed(["nothing"])
    with pytest.raises(UsageError, match="did you mean postgres"):
        replayed(["postgre"])
    with pytest.raises(UsageError, match="track: choose from hashes, writes"):
        replayed(["redis"], track="guesses")
