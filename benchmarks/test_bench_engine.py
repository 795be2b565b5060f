"""Our engine by load and order, with its checksum pass alone and a sort of the checksums beside it."""

import time

import pytest

from pksm import bench, tunables

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # CPU time


def test_checksum(ground, measure):
    measure(bench.checksum_job(ground))


def test_sort(ground, measure):
    measure(bench.sort_job(ground))


@pytest.mark.parametrize("order", ["checksum-content", "checksum", "content"])
def test_pksmd(ground, measure, order):
    measure(bench.pksmd_job(ground, tunables.preset("fixed").with_(pages_to_scan=bench.BATCH, order=order)))
