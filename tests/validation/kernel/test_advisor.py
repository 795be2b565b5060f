"""The running kernel's advisor and ours, scan after scan: the same pages_to_scan."""

import io
import json
import os
import runpy
from types import SimpleNamespace

import pytest

from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed, read
from pksm.linux.ksm.files import KNOBS
from pksm.policies.ksmd.advisor import Advisor
from pksm.policies.ksmd.tunables import SETTINGS

from support import ROOT

pytestmark = pytest.mark.kernel
RECORDER = runpy.run_path(str(ROOT / "tests" / "policies" / "ksmd" / "record_ksm_advisor.py"))
EVENT = "/sys/kernel/tracing/events/ksm/ksm_advisor"


@pytest.fixture(scope="module")
def ksm():
    try:
        with Borrowed() as borrowed:
            if not os.path.isdir(EVENT):
                pytest.skip(f"{EVENT}: not there: the advisor's readings can't be seen")
            yield borrowed
    except UnsupportedError as error:
        pytest.skip(str(error))


def test_the_settings_begin_as_the_kernel_s(ksm):
    ksm.reset()
    advisor = {name: read(name) for name in KNOBS if name.startswith("advisor")}
    assert advisor == {name: entry.default for name, entry in SETTINGS.items() if name.startswith("advisor")}


def test_pages_to_scan_is_set_as_the_kernel_sets_it(ksm):
    busy, calm = RECORDER["BUSY"], RECORDER["CALM"]
    for row in [("busy", 20000, busy, 4, 0.2, 1.2, 1, 2), ("calm", 400, calm, 3, 0.2, 1.2, 1, 3)]:
        out, advisor = io.StringIO(), Advisor()
        with RECORDER["tracepoint"]() as news:
            RECORDER["series"](ksm, news, *row, out)
        for line in out.getvalue().splitlines():
            scan = json.loads(line)
            ours = advisor.advise(SimpleNamespace(**scan), scan["scan_time"], scan["cpu_percent"])
            assert ours == scan["then"], scan
