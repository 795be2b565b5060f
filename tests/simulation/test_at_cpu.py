"""Policies tuned to the same CPU time: the value that is chosen, and why."""

import pytest

from pksm.errors import UsageError
from pksm.simulation import at_cpu, compare_at_cpu
from pksm.simulation.varying import chosen

SMALL = {"pages": 400, "until_ms": 2000, "workers": 1}


def search(cpu, saved, target=5.0, policy="ksmd"):
    """A search that has tried the values of {value: percent}, and {value: bytes}."""
    [choice] = chosen(policy, (), 0)
    one = at_cpu._Search(choice, target, ())
    spread = lambda value: {"median": value, "low": value, "high": value}  # noqa: E731
    one.take(
        [
            {
                "settings": {"pages_to_scan": value},
                "cpu_percent": spread(cpu[value]),
                "mean_saved_bytes": spread(saved[value]),
            }
            for value in cpu
        ]
    )
    return one


@pytest.mark.parametrize(
    "cpu, saved, value, outcome",
    [
        ({1: 1, 10: 4.8, 100: 40}, {1: 1, 10: 5, 100: 9}, 10, "at"),
        ({1: 1, 10: 4.8, 100: 40}, {1: 5, 10: 5, 100: 9}, 1, "enough"),
        ({1: 1, 10: 2, 100: 3}, {1: 1, 10: 5, 100: 9}, 100, "below"),
        ({1: 1, 10: 2, 100: 6}, {1: 1, 10: 5, 100: 9}, 10, "enough"),
        ({1: 7, 10: 8}, {1: 1, 10: 5}, 1, "above"),
        ({1: None, 10: 5.4}, {1: None, 10: 5}, 10, "at"),
    ],
)
def test_the_value_chosen(cpu, saved, value, outcome):
    one = search(cpu, saved)
    assert (one.value, one.tuning()["outcome"]) == (value, outcome)


def test_further_values_lie_between_those_around_the_target():
    one = search({1: 1, 10: 2, 1000: 40}, {1: 1, 10: 5, 1000: 9})
    values = one.next(5)
    assert len(values) == 5 and all(10 < value < 1000 for value in values) and values == sorted(values)
    assert search({1: 1, 2: 9}, {1: 1, 2: 5}).next(5) == [1], "there is nothing between"


def test_more_cpu_time_saves_no_less():
    slow, fast = (compare_at_cpu("f", "ksmd", percent, **SMALL) for percent in (0.3, 3.0))
    assert slow["rows"][0]["cpu_percent"]["median"] <= 0.33
    assert slow["rows"][0]["mean_saved_bytes"]["median"] < fast["rows"][0]["mean_saved_bytes"]["median"]


def test_what_is_set_is_not_turned():
    document = compare_at_cpu("f", "ksmd,pksmd", 1.0, {"ksmd.pages_to_scan": 77}, **SMALL)
    ksmd, pksmd = document["tuning"]
    assert ksmd == {"setting": None, "value": None, "outcome": "fixed", "tried": []}
    assert document["rows"][0]["tunables"]["pages_to_scan"] == 77 and pksmd["setting"] == "pages_to_scan"


@pytest.mark.parametrize(
    "workload, policies, n_said",
    [("fork-family", "pksmd,cksm", 1), ("fork-family", "pksmd", 0), ("churn", "pksmd,cksm", 0), ("f", "pksmd,cksm", 0)],
)
def test_phases_that_come_with_rest_are_not_like_for_like(workload, policies, n_said):
    said = compare_at_cpu(workload, policies, 1.0, pages=64, until_ms=100, workers=1)["unlike"]
    assert sum(line.startswith(f"{workload}: waits until merging comes to rest") for line in said) == n_said


def test_an_interrupted_comparison_has_no_rows():
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    document = compare_at_cpu("f", "ksmd", 1.0, progress=stop, **SMALL)
    assert document["interrupted"] and document["rows"] == document["tuning"] == []


def test_what_is_no_share_is_refused():
    with pytest.raises(UsageError, match="more than 0 percent"):
        compare_at_cpu("f", "ksmd", 0)
