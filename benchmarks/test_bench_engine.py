"""Our engine by load and order, with its C part alone beside it."""

import time

import pytest

from pksm.bench import engine_jobs

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # CPU time


@pytest.mark.parametrize("order", ["checksum-content", "checksum", "content"])
@pytest.mark.parametrize("make_job", [engine_jobs.settle_job, engine_jobs.pksmd_job])
def test_engine(ground, measure, make_job, order):
    measure(make_job(ground, engine_jobs.settings(order)))
