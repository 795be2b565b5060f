"""Memory: what a process takes is bounded by --memory, shown, and changes nothing of the answer."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from pksm.errors import UsageError
from pksm.fleet import Settings, tree_vm
from pksm.fleet.settings import BASE_BYTES, LEAST_MEMORY, MEMORY, ROW_BYTES
from pksm.sources.fingerprints.layout import RECORD
from pksm.sources.fingerprints.writing import FingerprintWriter

from support.cli_runs import is_one_line, run, run_apart

MIB = 1 << 20
PAGES = 500_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four machines, whose rows together take more than the least memory."""
    made = tmp_path_factory.mktemp("fleet")
    source = {"name": "vm", "kind": "raw", "mappings": ["ram"], "pages": PAGES, "zero_pages": 0, "zero": [0], "lost": 0,
              "out_of_reach": {}, "facts": {}, "warnings": []}  # fmt: skip
    for host in range(4):
        records = np.zeros(PAGES, RECORD)
        records["sum"] = records["tail"] = np.sort(tree_vm(host, PAGES))
        records["count"] = 1
        with open(made / f"h{host}.fp", "wb") as file:
            table = {"time": 0, "sources": [source], "partial": False, "warnings": []}
            writer = FingerprintWriter(file, 4096, table, PAGES)
            writer.add(records)
            writer.finish()
    assert 4 * PAGES * ROW_BYTES > LEAST_MEMORY
    return made


def test_memory_is_bounded_and_shown(folder):
    done = run_apart("fleet", folder, "--workers", "1", "--json", "--memory", "192M")
    assert (done.code, done.err) == (0, "")
    bounded = json.loads(done.out)
    free = json.loads(run_apart("fleet", folder, "--workers", "1", "--json").out)
    assert bounded.pop("ranges") > 4 and free.pop("ranges") == 1
    assert 50 * MIB < bounded.pop("peak_bytes") <= 192 * MIB < free.pop("peak_bytes") <= 768 * MIB
    for found in (bounded, free):
        for group in found["groups"]:  # which are found with a sample, where rows are many
            group.clear()
    assert bounded == free
    done = run_apart("fleet", folder, "--workers", "1", "--memory", "192M")
    assert re.search(
        r"Counted in 5 ranges of contents; no process took more than [\d.]+ MiB\.", " ".join(done.out.split())
    )


def test_a_cluster_has_limits_of_its_own():
    assert Settings().rows == (MEMORY - BASE_BYTES) // ROW_BYTES
    for has, takes in ((None, MEMORY), (1 << 40, MEMORY), (300 * MIB, 300 * MIB), (1, LEAST_MEMORY)):
        executor = SimpleNamespace(bytes_each=has)
        assert Settings(executor=executor).rows == (takes - BASE_BYTES) // ROW_BYTES


def test_too_little_is_one_line(tmp_path, capfd):
    with pytest.raises(UsageError, match="192M at least"):
        Settings(memory=LEAST_MEMORY - 1)
    done = run(capfd, "fleet", tmp_path, "--memory", "100M")
    assert done.code == 2 and is_one_line(done.err, "--memory: must be 192M at least")
