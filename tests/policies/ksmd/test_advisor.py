"""The advisor: the rule against what the kernel's made of its scans, its switches, and pages_to_scan in virtual time."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest

from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.advisor import Advisor
from pksm.policies.ksmd.daemon import Ksmd

RECORDED = Path(__file__).parent / "ksm-advisor.jsonl"  # made by record_ksm_advisor.py
SERIES = defaultdict(list)
for line in RECORDED.read_text(encoding="ascii").splitlines():
    SERIES[json.loads(line)["series"]].append(json.loads(line))


@pytest.mark.parametrize("name", SERIES)
def test_pages_to_scan_becomes_what_the_kernel_made_of_it(name):
    advisor = Advisor()
    for scan in SERIES[name]:
        assert advisor.advise(SimpleNamespace(**scan), scan["scan_time"], scan["cpu_percent"]) == scan["then"]


def test_the_recorded_scans_meet_every_bound():
    bounds = defaultdict(int)
    for scan in (scan for scans in SERIES.values() for scan in scans):
        percent = max(1, scan["pages_to_scan"] // scan["cpu_percent"])
        limits = {"max_cpu": percent * scan["advisor_max_cpu"], "10 %": percent * 10}
        limits["max_pages"] = scan["advisor_max_pages_to_scan"]
        bounds[next((bound for bound, pages in limits.items() if pages == scan["then"]), "none")] += 1
    assert set(bounds) == {"max_cpu", "10 %", "max_pages", "none"}
    assert bounds["none"] >= 10


def test_a_visit_takes_what_it_took_in_the_recorded_scans():
    spent = [after["ksmd_cpu_ms"] - before["ksmd_cpu_ms"] for before, after in pairwise(SERIES["busy"])]
    ns = median(spent) * 1e6 / SERIES["busy"][0]["pages"]
    assert ksm_tunables.preset("ksm-6.11").visit_ns == pytest.approx(ns, rel=0.05)


def test_switching_sets_pages_to_scan_and_while_it_is_on_nobody_else_can():
    tunables = ksm_tunables.preset("ksm-6.11")
    on = tunables.with_(pages_to_scan=777).with_(advisor_mode="scan-time", advisor_min_pages_to_scan=600)
    assert on.pages_to_scan == 600
    assert on.with_(advisor_mode="scan-time", advisor_min_pages_to_scan=40).pages_to_scan == 600  # on already
    assert on.with_(advisor_mode="none").pages_to_scan == 100
    assert on.with_(advisor_mode="none", pages_to_scan=5).pages_to_scan == 5
    for change in (
        lambda: on.with_(pages_to_scan=5),
        lambda: tunables.with_(pages_to_scan=5, advisor_mode="scan-time"),
    ):
        with pytest.raises(UsageError, match="pages_to_scan=5: advisor_mode=scan-time sets it"):
            change()
    for name, value in {"advisor_mode": "scan_time", "advisor_target_scan_time": 0, "advisor_max_cpu": -1}.items():
        with pytest.raises(UsageError, match=name):
            tunables.with_(**{name: value})


def test_a_scan_takes_the_sleeps_between_its_first_wake_up_and_its_last_and_the_cpu_time_of_its_visits():
    machine = Machine(200, 64)
    mm = machine.spawn()
    machine.write(mm, machine.mmap(mm, 100, mergeable=True), list(range(1, 101)))
    settings = {"advisor_min_pages_to_scan": 20, "advisor_target_scan_time": 1, "sleep_millisecs": 700}
    ksmd = Ksmd(
        machine, ksm_tunables.preset("ksm-6.11").with_(advisor_mode="scan-time", visit_ns=10_000_000, **settings)
    )
    pages = []
    for _ in range(6):
        ksmd.wake()
        pages.append(ksmd.sysfs["pages_to_scan"])
    # 100 pages at 20 a wake-up: the sixth ends it. 5 x 700 ms + 100 x 10 ms = 4 s; 25 % CPU, so 1 % is one page:
    # 20 pages x 4 (too slow by that) x 0.30 (the first scan weighs so much) = 24
    assert pages == [20] * 5 + [24]


def test_ksmd_s_whole_life_counts_for_the_first_scan_behind_the_switch():
    machine = Machine(200, 64)
    mm = machine.spawn()
    machine.write(mm, machine.mmap(mm, 100, mergeable=True), list(range(1, 101)))
    ksmd = Ksmd(machine, ksm_tunables.preset("ksm-6.11").with_(smart_scan=0, visit_ns=10_000_000, pages_to_scan=1000))
    for _ in range(9):
        ksmd.wake()
    ksmd.sysfs["advisor_max_cpu"] = 20
    ksmd.sysfs["advisor_target_scan_time"] = 1
    ksmd.sysfs["advisor_mode"] = "scan-time"
    ksmd.wake()  # 1 s of work, 10 s in ksmd's life: 1000 %, and 1 % is one page
    assert ksmd.sysfs["pages_to_scan"] == 20
