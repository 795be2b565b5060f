"""Placement: plans fit, are what they say, and come close to the best there is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.errors import UsageError
from pksm.fleet import place, placement
from pksm.fleet.filling import Hosts, Vms
from pksm.fleet.placement import greedy, local_search
from pksm.fleet.plans import read_capacities

from model import fleet as model

VMS = st.lists(st.sets(st.integers(0, 9), min_size=1), min_size=1, max_size=7)


def arrays(vms):
    return [np.array(sorted(one), np.uint32) for one in vms]


@given(VMS, st.lists(st.integers(1, 20), min_size=1, max_size=3), st.integers(0, 9))
def test_plans_fit(vms, rooms, seed):
    for plan in place(arrays(vms), 10, rooms, seed=seed):
        for host, room in enumerate(rooms):
            own = [vms[vm] for vm in np.flatnonzero(plan.host_of == host)]
            assert plan.left[host] == room - len(set().union(*own)) >= 0, plan


@given(VMS)
def test_what_is_placed_by_search_saves_no_less(vms):
    plans = {plan.name: plan for plan in place(arrays(vms), 10, [math.inf] * 2)}
    saved = {name: model.saved_by(vms, plan.host_of.tolist()) for name, plan in plans.items()}
    assert saved["local-search"] >= saved["greedy"]


def best(vms, n_hosts, room):
    """The most that merging saves with all VMs placed, by mixed-integer programming; None if they do not fit."""
    optimize = pytest.importorskip("scipy.optimize")
    n_vms, n_contents = len(vms), 10
    n_x = n_vms * n_hosts
    cost = np.concatenate([np.zeros(n_x), np.ones(n_contents * n_hosts)])
    rows, low, high = [], [], []
    for vm in range(n_vms):
        row = np.zeros(len(cost))
        row[[vm * n_hosts + host for host in range(n_hosts)]] = 1
        rows.append(row), low.append(1), high.append(1)
        for host, content in itertools.product(range(n_hosts), vms[vm]):
            row = np.zeros(len(cost))
            row[vm * n_hosts + host], row[n_x + content * n_hosts + host] = -1, 1
            rows.append(row), low.append(0), high.append(1)
    for host in range(n_hosts):
        row = np.zeros(len(cost))
        row[[n_x + content * n_hosts + host for content in range(n_contents)]] = 1
        rows.append(row), low.append(0), high.append(room)
    made = optimize.milp(
        cost,
        integrality=np.ones(len(cost)),
        bounds=optimize.Bounds(0, 1),
        constraints=optimize.LinearConstraint(np.array(rows), low, high),
    )
    return sum(map(len, vms)) - round(made.fun) if made.success else None


@pytest.mark.parametrize("seed", range(12))
def test_search_comes_close_to_the_optimum(seed):
    rng = np.random.default_rng(seed)
    kinds = [set(rng.choice(10, 5, replace=False).tolist()) for _ in range(3)]
    vms = [kinds[rng.integers(3)] | {int(rng.integers(10))} for _ in range(7)]
    optimum = best(vms, 3, 8)
    plan = place(arrays(vms), 10, [8.0] * 3)[-1]
    if optimum is not None:
        assert (plan.host_of >= 0).all()
        assert model.saved_by(vms, plan.host_of.tolist()) >= 0.9 * optimum


def test_today_is_the_first_plan():
    plans = place(arrays([{1}, {1}]), 10, [5, 5], now=[0, 1])
    assert [plan.name for plan in plans] == ["as-is", "random", "first-fit", "greedy", "local-search"]
    assert plans[0].host_of.tolist() == [0, 1] and len(set(plans[-1].host_of.tolist())) == 1


@given(VMS, st.lists(st.integers(1, 20), min_size=1, max_size=3), st.integers(0, 9))
def test_today_may_not_fit(vms, rooms, seed):
    now = np.random.default_rng(seed).integers(len(rooms), size=len(vms)).tolist()
    today = place(arrays(vms), 10, rooms, now=now)[0]
    for host, room in enumerate(rooms):
        assert today.left[host] == room - len(set().union(*(vms[vm] for vm in range(len(vms)) if now[vm] == host)))


@pytest.mark.parametrize(
    "text, words",
    [
        ("a,b\n1,2\n", "columns host,bytes"),
        ("host,bytes\nh,much\n", "line 2: 'much' is not an amount of memory"),
        ("host,bytes\nh,-5\n", "is not an amount"),
        ("host,bytes\nh,1G\nh,1G\n", "each once"),
        ("host,bytes\n", "one host at least"),
        ("bytes,host\n64G\n", "line 2: names no host"),
        ("host,bytes\n" + "x" * (16 << 20), "larger than 16 MiB"),
        ("", "columns host,bytes"),
    ],
)
def test_what_is_wrong_with_a_file_of_hosts_is_one_line(tmp_path, text, words):
    path = tmp_path / "hosts.csv"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_capacities(path)
    assert words in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_amounts_of_memory(tmp_path):
    path = tmp_path / "hosts.csv"
    path.write_text("bytes,host\n64G,a\n512MiB,b\n4096,c\n")
    assert read_capacities(path).bytes == [64 << 30, 512 << 20, 4096]
    path.write_text("\ufeffhost,bytes\r\na,1G\r\n")  # as spreadsheets write it
    assert read_capacities(path).bytes == [1 << 30]


def test_a_file_of_hosts_that_never_ends_is_refused():
    with pytest.raises(UsageError, match="/dev/zero: is larger than"):
        read_capacities("/dev/zero")


@given(VMS, st.lists(st.integers(1, 20), min_size=1, max_size=3), st.data())
def test_nothing_is_gained_by_moving_one_or_swapping_two(vms, rooms, data):
    """Every move and swap, tried with sets. What a host takes besides contents takes room, too."""
    extra = data.draw(st.lists(st.integers(0, 3), min_size=len(vms), max_size=len(vms)))
    hosts = Hosts(Vms(arrays(vms), 10, extra), rooms)
    greedy(hosts)
    hosts.check()
    assert local_search(hosts)
    hosts.check()
    found = hosts.plan("local-search", True).host_of.tolist()
    assert hosts.plan("").left.tolist() == model.room_left(vms, found, rooms, extra)
    best = model.saved_by_placed(vms, found)
    others = [{vm: host} for vm in range(len(vms)) for host in range(len(rooms))]
    others += [{one: found[two], two: found[one]} for one in range(len(vms)) for two in range(one)
               if -1 not in (found[one], found[two])]  # fmt: skip
    for changed in others:
        tried = [changed.get(vm, host) for vm, host in enumerate(found)]
        if min(model.room_left(vms, tried, rooms, extra)) >= 0:
            assert model.saved_by_placed(vms, tried) <= best
            assert tried.count(-1) == found.count(-1), "there is room for one that is nowhere"


def test_a_plan_that_search_could_not_finish_says_so(monkeypatch):
    kinds = [{0, 1, 2}, {3, 4, 5}]
    vms = [kinds[vm % 2] for vm in range(6)]
    assert place(arrays(vms), 10, [6.0] * 2)[-1].is_local_optimum
    monkeypatch.setattr(placement, "ROUNDS", 0)
    assert not place(arrays(vms), 10, [6.0] * 2)[-1].is_local_optimum
