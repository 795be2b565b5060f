"""Where the C core is, for those who compile it into something else: tests/packaging asks the wheel, these the checkout."""

import subprocess
import sys
from pathlib import Path

import pksm

from support import ROOT


def test_checkout_has_the_header_in_csrc():
    assert Path(pksm.get_include()) == ROOT / "csrc" / "include"


def test_sources_are_those_of_libpksm():
    everything = {str(path) for path in (ROOT / "csrc").rglob("*.c")}
    assert everything - set(pksm.get_sources()) == {str(ROOT / "csrc" / "yardstick.c")}
    assert pksm.get_sources() == sorted(set(pksm.get_sources()) & everything)


def test_builds_can_ask_without_numpy():
    script = "import sys, pksm; pksm.get_include(), pksm.get_sources(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
