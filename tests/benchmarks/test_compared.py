"""benchmarks/compared.py, uksm_truth.py and pair_rule.py: ratios of curves, what is kept of differences, tables."""

import pytest


def row(ours, theirs, best=100):
    policies = [{"policy": "uksm:a", "curve": ours}, {"policy": "ksmd:b", "curve": theirs}]
    return {"memory": "f", "best_bytes": best, "policies": policies}


@pytest.mark.parametrize(
    "ours, theirs, most",
    [
        ([[0, 0], [1, 80]], [[0, 0], [2, 10], [3, 90]], 8),
        ([[0, 0], [1, 80]], [[0, 0], [2, 4], [3, 40]], 2),  # 4 of 100 are too few for a ratio
        ([[0, 0], [5, 80]], [[0, 0], [2, 50]], 0),  # nothing yet when the rival has
        ([[0, 0], [5, 80]], [[0, 0], [6, 1]], None),
    ],
)
def test_the_ratio_is_that_of_one_moment(script, ours, theirs, most):
    assert script("compared").most_of(row(ours, theirs), "uksm", "ksmd") == most


def test_a_run_that_never_reached_90_percent_has_no_figures(script):
    figures = {"visits": 1234, "virtual_s": 5.25, "cpu_s": 0.5}
    runs = {"with": {"reached": {"90": None}}, "without": {"reached": {"90": figures}}}
    lines = script("pair_rule").table({"rows": [{"memory": "f", "pages": 9, "possible": 3, "pairs": 1, "runs": runs}]})
    assert lines[-1] == "| f | 9 | 3 | 1 | - | - | - | 1,234 | 5.2 | 500 |"


def test_numbers_without_a_note_are_unexplained(script):
    truth = script("uksm_truth")
    rows = [
        {"kernel_value": 1, "ours": 1, "note": ""},
        {"kernel_value": 1, "ours": 2, "note": "order"},
        {"kernel_value": 1, "ours": 3, "note": ""},
    ]
    assert truth.counts_of(rows) == {"numbers": 3, "equal": 1, "explained": 1, "unexplained": 1}


def test_prices_are_as_before_afterwards(script):
    truth = script("uksm_truth")
    before = {name: getattr(truth.cpu, name) for name in truth.PRICES}
    with truth.priced(2):
        assert truth.cpu.PAGE_NS / before["PAGE_NS"] == 2
    assert {name: getattr(truth.cpu, name) for name in truth.PRICES} == before


def test_without_recordings_nothing_is_measured(script, tmp_path, capsys):
    assert script("uksm_truth").main(["--folder", str(tmp_path)]) == 77
    assert len(capsys.readouterr().err.splitlines()) == 1
