"""The price list: what work costs, and which kernel's prices are taken."""

import pytest

from pksm.engine.cost import PRICES, Prices, prices_of
from pksm.errors import UsageError

FREE = dict.fromkeys(Prices.__dataclass_fields__, 0) | {"source": "a test", "kernel": "6.18", "tick_ms": 4}
WORK = {"pages_visited": 3, "tree_steps": 5, "bytes_hashed": 7, "bytes_compared": 11}


@pytest.mark.parametrize(
    "price, times",
    [
        ("wake_ns", 13),
        ("visit_ns", 3),
        ("step_ns", 5),
        ("hashed_byte_ns", 7),
        ("compared_byte_ns", 11),
        ("merge_ns", 17),
    ],
)
def test_each_price_counts_for_its_work_alone(price, times):
    assert Prices(**FREE | {price: 2}).daemon_ns(WORK, wakes=13, merges=17) == 2 * times


def test_a_copy_costs_the_thread_nothing():
    assert Prices(**FREE | {"copy_ns": 2}).daemon_ns(WORK, wakes=1, merges=1) == 0


def test_prices_come_back_from_a_dict():
    prices = PRICES["6.18"]
    assert Prices.of_dict(prices.as_dict()) == prices


@pytest.mark.parametrize(
    "wrong", [{"visit_ns": -1}, {"visit_ns": float("nan")}, {"visit_ns": "1"}, {"kernel": 6}, {"tick_ms": 0}]
)
def test_what_is_not_a_price_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Prices(**FREE | wrong)


@pytest.mark.parametrize("given", [{}, [], {"visit_ns": 1}, FREE | {"more": 1}])
def test_a_list_with_other_names_is_refused(given):
    with pytest.raises(UsageError, match="price list"):
        Prices.of_dict(given)


@pytest.mark.parametrize("release", ["6.18.44-generic", "4.19", "unheard of", ""])
def test_every_kernel_has_default_prices(release):
    assert prices_of(release) in PRICES.values()


def test_a_measured_version_has_its_own_prices():
    for version, prices in PRICES.items():
        assert prices_of(f"{version}.3-arch1") is prices and prices.kernel == version
