"""How busy a machine is besides us."""

import subprocess
import sys
import time

import pytest

from pksm.linux import cpu_times
from pksm.linux.cpu_times import Moment


def test_others_are_all_but_us_and_whoever_works_for_us(monkeypatch):
    monkeypatch.setattr(cpu_times.os, "cpu_count", lambda: 2)
    before, after = Moment(10.0, 100.0, 5.0, 7.0), Moment(20.0, 118.0, 6.0, 16.0)
    assert cpu_times.meanwhile(before, after) == pytest.approx((0.9, 0.05))
    assert cpu_times.meanwhile(before, after, ours=9.0) == pytest.approx((0.0, 0.05))
    assert cpu_times.meanwhile(before, before) == (0, 0)


def test_the_first_line_of_stat_is_read(monkeypatch, tmp_path):
    stat = tmp_path / "stat"
    ticks = cpu_times.TICKS_PER_SECOND
    monkeypatch.setattr(cpu_times, "STAT", str(stat))
    numbers = [ticks * n for n in (1, 2, 4, 1000, 1000, 8, 16, 32, 1, 1)]
    stat.write_text(f"cpu  {' '.join(map(str, numbers))}\ncpu0 9 9 9\n")
    now = cpu_times.now()
    assert (now.busy, now.stolen) == (1 + 2 + 4 + 8 + 16, 32)
    for text in ("", "cpu", "cpu 1 x", "cpu -1"):
        stat.write_text(text)
        assert cpu_times.now().stolen == 0
    stat.unlink()
    assert cpu_times.now().busy == 0


def test_our_own_work_and_that_of_our_children_is_ours():
    before = cpu_times.now()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    while time.process_time() < 0.1:
        pass
    after = cpu_times.now()
    assert after.own - before.own >= 0.25 and after.busy - before.busy >= 0.25
