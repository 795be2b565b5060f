"""What the machine can do at best, and other ways to find equal pages."""

import time

import pytest

from pksm.bench import yardsticks

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # CPU time


@pytest.mark.parametrize("engine", ["read", "memcpy", "memcmp", "call"])
def test_limit(ground, measure, engine):
    [job] = [job for job in yardsticks.limits(ground) if job.engine == engine]
    measure(job)


@pytest.mark.parametrize("make_job", [yardsticks.checksum_job, yardsticks.table_job, yardsticks.ksm_job])
def test_rival(ground, measure, make_job):
    measure(make_job(ground))
