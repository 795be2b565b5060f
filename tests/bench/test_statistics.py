"""What few samples say, against counting every possibility by hand."""

import itertools
import math
import random

import pytest

from pksm.bench import statistics


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 10, 20])
def test_the_interval_has_the_confidence_of_tossing_coins(n):
    """A sample lies below the median as a coin falls: the interval misses if fewer than k do, or more than n - k."""
    k, confidence = statistics.ranks_of_interval(n)
    tosses = [sum(coins) for coins in itertools.product((0, 1), repeat=n)] if n <= 10 else None
    if tosses:
        assert confidence == pytest.approx(sum(k <= below <= n - k for below in tosses) / 2**n)
        wider = sum(k + 1 <= below <= n - k - 1 for below in tosses) / 2**n
        assert wider < statistics.CONFIDENCE, "the narrowest that is sure enough"
    assert (confidence >= 0.95) == (n >= 6)


def test_an_interval_is_of_samples():
    assert statistics.interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert statistics.interval([5.0]) == (5.0, 5.0)
    assert statistics.interval(list(range(10))) == (1, 8)  # 97.9 % by the tables of the sign test


def by_hand(one, other):
    """Of all ways to deal the samples, the share in which the sum of ranks is as far from its mean."""
    both = sorted([*one, *other])
    rank = {
        value: sum(place for place, other in enumerate(both, 1) if other == value) / both.count(value) for value in both
    }
    ranks = [rank[value] for value in [*one, *other]]
    mean = sum(ranks) * len(one) / len(ranks)
    seen = abs(sum(ranks[: len(one)]) - mean)
    dealt = [abs(sum(hand) - mean) >= seen - 1e-9 for hand in itertools.combinations(ranks, len(one))]
    return sum(dealt) / len(dealt)


@pytest.mark.parametrize("seed", range(12))
def test_p_is_the_share_of_all_ways_to_deal_the_samples(seed):
    rng = random.Random(seed)
    n, m, values = rng.randint(1, 5), rng.randint(1, 5), rng.choice([3, 1000])
    one, other = [rng.randrange(values) for _ in range(n)], [rng.randrange(values) for _ in range(m)]
    assert statistics.p_of_no_difference(one, other) == pytest.approx(by_hand(one, other))


def test_many_samples_go_by_the_normal_distribution():
    rng = random.Random(1)
    one, other = [rng.gauss(0, 1) for _ in range(30)], [rng.gauss(0.4, 1) for _ in range(30)]
    exact = statistics.p_of_no_difference(one, other)
    spread = math.sqrt(30 * 30 * 61 / 12)
    u = sum(a > b for a in one for b in other)
    assert exact == pytest.approx(math.erfc((abs(u - 450) - 0.5) / spread / math.sqrt(2)), rel=0.05)
    assert statistics.p_of_no_difference(one + one, other + other) < exact
    assert statistics.p_of_no_difference([1.0] * 40, [1.0] * 40) == 1


def test_a_ratio_lies_in_its_interval_and_in_all_quotients():
    ratio, low, high = statistics.ratio_interval(
        [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0], [2.0, 2.2, 1.8, 2.0, 2.1, 1.9, 2.0]
    )
    assert low < ratio < high and ratio == pytest.approx(2) and low > 1.7 and high < 2.35
    assert statistics.ratio_interval([1.0], [3.0]) == (3, 3, 3)


def test_the_interval_of_a_ratio_leaves_one_out_exactly_if_the_test_tells_them_apart():
    """Both come from one statistic: quotients of all pairs."""
    rng, checked = random.Random(4), 0
    for shift in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0]:
        for _ in range(10):
            old, new = [rng.uniform(1, 2) for _ in range(7)], [rng.uniform(1, 2) + shift for _ in range(7)]
            _, low, high = statistics.ratio_interval(old, new)
            differ = statistics.p_of_no_difference(old, new) <= 0.05
            assert differ == (low > 1 or high < 1)
            checked += differ
    assert 10 < checked < 70


def test_few_of_those_reported_are_false():
    assert statistics.with_few_false([]) == []
    assert statistics.with_few_false([0.04]) == [True]
    assert statistics.with_few_false([0.04, 0.5, 0.6, 0.7]) == [False] * 4
    assert statistics.with_few_false([0.03, 0.001, 0.02, 0.9]) == [True, True, True, False]
    assert statistics.with_few_false([0.05, 0.05]) == [True, True]
