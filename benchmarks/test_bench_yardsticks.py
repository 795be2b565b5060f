"""What the machine can do at best, whatever the load."""

import time

import pytest

from pksm import bench

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # CPU time


@pytest.fixture(scope="module")
def jobs(memory):
    if memory.load is None:
        memory.fill("a")
    return {job.engine: job for job in bench.yardsticks(memory)}


@pytest.mark.parametrize("engine", ["read", "memcpy", "memcmp", "call"])
def test_yardstick(jobs, measure, engine):
    measure(jobs[engine])
