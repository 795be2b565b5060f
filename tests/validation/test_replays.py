"""What is made of replays beside the kernel: means over time, what is said of them."""

import pytest

from pksm import report
from pksm.validation.kernel.replayed import SCHEMA, _Mean, _row

from support.documents import faults


def side(counted, saved, undone):
    return {"counted": counted, "saved": saved, "undone": undone, "pages_scanned": 1000, "full_scans": 3}


def run(ours, followed):
    return {"pages": 5000, "samples": 40, "kernel": side(100.0, 80.0, 50), "ours": ours, "followed": followed}


def test_a_mean_over_time_goes_evenly_from_look_to_look():
    mean = _Mean()
    assert mean.value == 0
    mean.add(0, 0)
    mean.add(100, 10)  # 5 on average
    mean.add(400, 10)
    assert mean.value == pytest.approx((100 * 5 + 300 * 10) / 400, abs=0.06)
    mean.add(400, 50)  # at once
    mean.add(500, 50)
    assert mean.value == pytest.approx((100 * 5 + 300 * 10 + 100 * 50) / 500, abs=0.06)


def test_medians_of_runs_and_every_run_are_shown():
    runs = [run(side(110.0, 88.0, 40), side(100.0, 80.0, 50)), run(side(130.0, 72.0, 60), side(103.0, 84.0, 45)),
            run(side(90.0, 80.0, 55), side(98.0, 80.0, 51))]  # fmt: skip
    row = _row("redis", runs)
    assert row["ours"] == {"counted": 0.1, "saved": 0.0, "undone": 0.1}
    calm = [{**one, "kernel": side(100.0, 80.0, 0)} for one in runs]
    assert _row("redis", calm)["ours"]["undone"] is None, "the kernel had none"
    assert row["followed"] == {"counted": 0.0, "saved": 0.0, "undone": 0.0}
    document = {
        "schema": SCHEMA,
        "kernel": "6.18.0",
        "runs": 3,
        "seconds": 60.0,
        "every_ms": 250,
        "track": "writes",
        "skipped": [{"workload": "guests", "reason": "qemu-system-x86_64: not installed"}],
        "rows": [row],
        "warnings": [],
    }
    assert faults(document) == []
    table = report.table(document, 120)
    assert "+10.0%" in table and "guests: left out: qemu-system-x86_64: not installed" in table
    assert table.count("kernel  ") == 3 and "130" in table
    lines = report.csv(document).splitlines()
    assert lines[0] == "workload,run,side,pages,counted,saved,undone,pages_scanned,full_scans"
    assert len(lines) == 1 + 3 * 3 and "redis,2,ours,5000,130.0,72.0,60,1000,3" in lines
