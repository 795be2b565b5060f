"""The verdict: what is advised for memory whose best answer is known."""

import os

import numpy as np
import pytest

from pksm.advice import Settings, advise
from pksm.errors import UsageError
from pksm.report.advise import table

from support.documents import faults
from support.memory_sources import GivenSource, Process, data

SIZE = 4096


def unique(n, seed):
    """Pages that are like no others."""
    pages = np.random.default_rng(seed).integers(1, 256, (n, SIZE), dtype=np.uint8)
    return [page.tobytes() for page in pages]


def process(name, *pages, user="root"):
    return Process(name, name, user, *pages)


@pytest.fixture(autouse=True)
def ksm(monkeypatch):
    """KSM of this machine as the advice sees it: it does not run, unless a test says so."""
    now = {
        "runs": False, "saved_bytes": 5 * SIZE, "general_profit": None, "full_scans": 7, "cpu_seconds": 1.5,
        "settings": {"run": 0, "pages_to_scan": 100, "sleep_millisecs": 20, "use_zero_pages": 0, "smart_scan": 1,
                     "advisor_mode": "none", "max_page_sharing": 256, "merge_across_nodes": 0},
        "left_bytes": None,
    }  # fmt: skip
    monkeypatch.setattr("pksm.advice.now.ksm_now", lambda: now)
    return now


def advice(*sources, **more):
    """Advice where 20 pages are worth it, whatever the machine has."""
    document = advise(sources, Settings(**{"least_percent": 0, "least_bytes": 20 * SIZE, **more}))
    assert faults(document) == []
    return document


ZERO, COMMON = [bytes(SIZE)], unique(100, 9)


def test_too_little_is_not_worth_it():
    document = advice(process("one", *unique(90, 1), *COMMON[:10]), process("two", *unique(90, 2), *COMMON[:10]))
    verdict = document["verdict"]
    assert verdict["kind"] == "not worth it" and verdict["names"] == []
    assert verdict["sentence"].startswith("Not worth it")
    assert document["settings"] == [] and document["pareto"] == [], "nothing is simulated for nothing"


def test_records_that_take_more_than_is_saved_make_it_not_worth_it():
    verdict = advice(process("one", *unique(400, 1), *COMMON[:2], *COMMON[:2]), least_bytes=0)["verdict"]
    assert verdict["kind"] == "not worth it" and verdict["net_bytes"] < 0
    more = f"{-verdict['net_bytes'] / 1024:.1f} KiB"
    assert verdict["sentence"] == f"Not worth it: KSM's own records would take {more} more than merging saves."


def test_what_is_too_little_is_an_option():
    sources = [process("one", *unique(60, 1), *ZERO * 40), process("two", *unique(100, 2))]
    assert advice(*sources)["verdict"]["kind"] != "not worth it"
    assert advice(*sources, least_bytes=1 << 20)["verdict"]["kind"] == "not worth it"


def test_memory_with_little_but_zero_pages():
    document = advice(process("one", *unique(60, 1), *ZERO * 90), process("two", *unique(60, 2), *ZERO * 90))
    assert document["verdict"]["kind"] == "zero pages only"
    assert document["kinds"][0] == {"kind": "zero pages", "pages": 180, "percent": 100.0}
    names = [one["name"] for one in document["settings"]]
    assert "use_zero_pages" in names and names[0] == "run"


@pytest.mark.parametrize(("zeros", "advised"), [(1, False), (19, False), (20, True)])
def test_settings_of_zero_pages_are_advised_where_these_alone_are_worth_it(monkeypatch, zeros, advised):
    monkeypatch.setattr("pksm.linux.memory_facts.makes_huge_pages", lambda: True)
    document = advice(process("one", *COMMON, *ZERO * zeros), process("two", *COMMON))
    names = {one["name"] for one in document["settings"]}
    of_zeros = {"use_zero_pages", "/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none"}
    assert document["verdict"]["kind"] == "turn it on" and names & of_zeros == (of_zeros if advised else set())


def test_a_zero_page_among_many_others_is_no_reason():
    document = advice(process("one", *COMMON, *unique(200, 3), *ZERO), process("two", *COMMON, *unique(200, 3)))
    assert not any("zero pages" in line for line in document["verdict"]["because"])


def test_only_those_two_that_have_much_in_common():
    document = advice(
        process("web", *unique(20, 1), *COMMON),
        process("editor", *unique(150, 2)),
        process("worker", *unique(20, 3), *COMMON),
        process("shell", *unique(50, 4), *COMMON[:3]),
    )
    verdict = document["verdict"]
    assert verdict["kind"] == "only some" and verdict["names"] == ["web", "worker"]
    assert "2 of 4" in verdict["sentence"]
    assert verdict["net_bytes"] == 100 * SIZE - 240 * 64 - 100 * 64
    [saved] = {row["saved_bytes"] for row in document["pareto"]}
    assert saved == 100 * SIZE, "only these are simulated"
    [records] = {row["metadata_bytes"] for row in document["pareto"]}
    assert records == 240 * 64 + 100 * 64 + 2 * 48, "rmap_items, stable nodes, slots of processes"


def test_only_if_tenants_may_share():
    one, two = process("one", *unique(50, 1), *COMMON, user="ann"), process("two", *unique(50, 2), *COMMON, user="bob")
    document = advice(one, two)
    assert document["verdict"]["kind"] == "only if tenants may share" and document["tenants"] == "user"
    assert document["risk"]["groups_across_tenants"] == 100
    assert [kind["pages"] for kind in document["kinds"]] == [0, 0, 0, 100]
    of_one_user = advice(process("one", *unique(50, 1), *COMMON), process("two", *unique(50, 2), *COMMON))
    assert of_one_user["verdict"]["kind"] == "turn it on" and of_one_user["risk"]["groups_across_tenants"] == 0


def test_trials_can_be_held_to_parts():
    one, two = (
        process("one", *unique(50, 1), *COMMON, user="ann"),
        process("two", *unique(50, 2), *COMMON * 2, user="bob"),
    )
    together, apart = advice(one, two), advice(one, two, within="user")
    assert {row["saved_bytes"] for row in together["pareto"]} == {200 * SIZE}
    assert {row["saved_bytes"] for row in apart["pareto"]} == {100 * SIZE} and apart["simulated_within"] == "user"
    said = " ".join(table(apart).split())
    assert "Nothing was merged but within each user alone" in said and "but within" not in table(together)


def test_images_are_guests_and_guests_are_tenants():
    images = [GivenSource(name, data(*unique(50, seed), *COMMON)) for seed, name in enumerate(("a.img", "b.img"))]
    document = advice(*images)
    assert document["tenants"] == "vm" and document["verdict"]["kind"] == "only if tenants may share"
    assert document["now"] is None, "images say nothing about this machine"
    assert document["verdict"]["of_bytes"] == 300 * SIZE


def test_the_star_is_the_least_cpu_that_is_good_enough():
    sources = [process("one", *unique(2000, 1), *COMMON * 5)]
    quick = advice(*sources, period_ms=2000)
    starred = [row for row in quick["pareto"] if row["starred"]]
    assert len(starred) == 1 and 5 <= len(quick["pareto"]) <= 8
    wanted = 0.9 * max(row["mean_saved_bytes"] for row in quick["pareto"])
    cheaper = [row for row in quick["pareto"] if row["cpu_percent"] < starred[0]["cpu_percent"]]
    assert starred[0]["mean_saved_bytes"] >= wanted and all(row["mean_saved_bytes"] < wanted for row in cheaper)
    assert not starred[0]["default"], "the default takes a second before it has merged anything"
    patient = advice(*sources, period_ms=3_600_000)
    assert [row["default"] for row in patient["pareto"] if row["starred"]] == [True]
    assert len({row["saved_bytes"] for row in quick["pareto"]}) == 1, "each comes to rest at the same"


def test_what_runs_now_is_a_row_and_what_it_leaves_is_said(ksm):
    sources = [process("one", *unique(500, 1), *COMMON * 5, *ZERO * 300)]
    assert not any(row["present"] for row in advice(*sources)["pareto"]), "it does not run"
    ksm["runs"] = True
    ksm["settings"] |= {"pages_to_scan": 30, "max_page_sharing": 16}
    document = advice(*sources)
    [here] = [row for row in document["pareto"] if row["present"]]
    assert here["label"] == "30 pages / 20 ms, use_zero_pages=0, max_page_sharing=16"
    others = {row["saved_bytes"] for row in document["pareto"] if row is not here}
    assert others == {(400 + 300) * SIZE}
    chains = -(-300 // 16)  # a kept copy for each 16 of the zero pages
    assert here["saved_bytes"] == (400 + 300 - chains) * SIZE and document["now"]["left_bytes"] == chains * SIZE
    assert not here["starred"] and "would leave 76.0 KiB unmerged" in " ".join(table(document).split())


def test_what_runs_now_may_be_one_of_the_candidates(ksm):
    ksm["runs"] = True
    ksm["settings"] |= {"use_zero_pages": 1}
    document = advice(process("one", *unique(300, 1), *COMMON * 5))
    [here] = [row for row in document["pareto"] if row["present"]]
    assert here["default"] and document["now"]["left_bytes"] == 0 and len(document["pareto"]) == 7
    assert "would leave nothing unmerged" in " ".join(table(document).split())


@pytest.mark.parametrize("knobs", [{"pages_to_scan": 1}, {"sleep_millisecs": 1 << 32}])
def test_settings_that_cannot_be_simulated_are_named(ksm, knobs, monkeypatch):
    monkeypatch.setattr("pksm.advice.trials.MOST_WAKES", 1000)
    ksm["runs"] = True
    ksm["settings"] |= knobs
    document = advice(process("one", *unique(300, 1), *COMMON * 5))
    assert "present settings are not simulated" in document["warnings"][-1] and document["now"]["left_bytes"] is None
    assert not any(row["present"] for row in document["pareto"])


def test_every_setting_has_a_reason_and_says_what_the_default_is():
    document = advice(process("one", *unique(2000, 1), *COMMON * 5, *ZERO * 300), period_ms=2000)
    settings = {one["name"]: one for one in document["settings"]}
    assert all(len(one["reason"]) > 20 for one in settings.values())
    [starred] = [row for row in document["pareto"] if row["starred"]]
    if "pages_to_scan" in starred["settings"]:
        assert settings["pages_to_scan"]["value"] == starred["settings"]["pages_to_scan"]
        assert "The default, 100, would take" in settings["pages_to_scan"]["reason"]


def test_a_look_at_images_says_nothing_of_what_they_write():
    with pytest.raises(UsageError, match="no live process to look at again"):
        advice(GivenSource("a.img", data(*unique(20, 1), *ZERO * 40)), again_seconds=0.1)


def test_compressing_is_measured_on_a_sample():
    document = advice(GivenSource("a.img", data(*[bytes([n]) * SIZE for n in range(1, 101)])))
    assert document["compressing"]["sampled"] == 100 and document["compressing"]["percent"] > 98
    assert advice(GivenSource("b.img", data(*unique(30, 1))))["compressing"]["percent"] < 1


@pytest.mark.parametrize(
    "wrong",
    [
        *({"least_percent": 101}, {"least_bytes": -1}, {"enough": 0}, {"enough": 1.1}),
        *({"period_ms": 10}, {"again_seconds": 0}, {"tenants": "room"}, {"within": "room"}),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(UsageError) as refused:
        Settings(**wrong)
    assert refused.value.argument == next(iter(wrong))


def test_a_process_that_writes_is_seen_writing(tmp_path):
    import subprocess
    import sys

    from pksm.advice.looks import volatile
    from pksm.sources import open_pid

    code = (
        "import mmap, sys, time\n"
        "memory = mmap.mmap(-1, 4096 * 200, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "for n in range(200): memory[n * 4096 : n * 4096 + 9] = b'constants'\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "for n in range(50): memory[n * 4096] = 1 + n\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as child:
        child.stdout.readline()

        def write(seconds):
            child.stdin.write("\n")
            child.stdin.flush()
            child.stdout.readline()

        source = open_pid(child.pid)
        seen = volatile([source], 0.5, os.sysconf("SC_PAGE_SIZE"), sleep=write)
        source.close()
        child.communicate("\n")
    assert seen["pages"] >= 200 and 50 <= seen["merging_changed"] <= seen["changed"] < 150
    assert seen["merging"] >= 200
