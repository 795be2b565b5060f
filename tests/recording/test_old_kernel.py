"""Writes tracked by soft-dirty bits, under a kernel that has them and nothing newer: Debian's 6.1, in a guest."""

import re

import pytest

from support import old_kernel

OPTIONS = ["-c", "/dev/null", "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider", "-q", "--color=no"]
CHOSEN = "(event_for_event or forks or only_what) and writes or in_part and writes-0"


@pytest.mark.skipif(bool(old_kernel.why_not()), reason=old_kernel.why_not() or "it can be run")
def test_what_a_process_does_is_recorded_event_for_event_by_soft_dirty_bits(tmp_path):
    verdict = "from pksm.linux import soft_dirty, written; print('lacks', written.lacking(), '- bits', [soft_dirty.why_not()])"
    tests = ["-m", "pytest", *OPTIONS, str(old_kernel.TESTS / "recording/test_recorder.py"), "-k", CHOSEN]
    console = old_kernel.run(tmp_path, [["-c", verdict], tests])
    assert "lacks that takes Linux 6.7 - bits ['']" in console, console
    assert re.search(r"^4 passed", console, re.MULTILINE), console
