"""pksm features says what is so."""

import json
import mmap
import os

import pksm
from pksm.engine.checksums import strategies as checksums
from pksm.linux.proc import pagemap
from pksm.policies import registry

from support.cli_runs import run


def policies():
    specs = {name: registry.spec(name) for name in ("pksmd", "ksmd", "uksm", "cksm")}
    return [f"{name}:{preset}" for name, spec in specs.items() for preset in spec.presets]


def test_features_as_json(capfd):
    done = run(capfd, "features", "--json")
    facts = json.loads(done.out)
    assert (done.code, done.err) == (0, "") and facts["schema"] == "pksm.features/1"
    assert facts["version"] == pksm.__version__
    assert list(facts["checksums"]) == checksums.names() and facts["default_checksum"] in facts["checksums"]
    assert facts["checksums"]["jhash2"] == 32 and facts["checksums"]["xxh64"] == 64
    assert facts["orders"] == ["content", "checksum", "checksum-content"] and set(facts["policies"]) == {
        *policies(),
        "nobody",
    }
    assert {"raw", "process"} <= set(facts["sources"])
    machine = facts["machine"]
    assert machine["page_size"] == mmap.PAGESIZE and machine["cpus"] == len(os.sched_getaffinity(0))
    assert machine["kernel_ksm"] == os.path.isdir("/sys/kernel/mm/ksm")
    assert machine["frame_numbers"] == (pagemap.zero_frame() != 0)
    assert machine["huge_pages"] in ("always", "madvise", "never", None)
    assert facts["cpu_levels"][0] == "scalar"


def test_features_for_people(capfd):
    done = run(capfd, "features")
    assert done.code == 0
    for word in [*checksums.names(), *policies(), "raw", "process", "frame numbers", "KSM"]:
        assert word in done.out
