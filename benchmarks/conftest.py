"""Sizes of `pytest benchmarks`: small by default, so that it also serves as a quick check."""

import os

import pytest

from pksm.bench.yardsticks import Ground
from pksm.simulation.workloads import LOADS


def pytest_addoption(parser):
    group = parser.getgroup("pksm")
    group.addoption("--pages", type=int, default=int(os.environ.get("PKSM_BENCH_PAGES", 4096)), help="pages of a load")
    group.addoption("--loads", default=os.environ.get("PKSM_BENCH_LOADS", ",".join(LOADS)), help="loads, with commas")


def pytest_generate_tests(metafunc):
    if "load" in metafunc.fixturenames:
        metafunc.parametrize("load", metafunc.config.getoption("loads").split(","))


@pytest.fixture(scope="session")
def memory(request):
    return Ground(request.config.getoption("pages"))


@pytest.fixture
def ground(memory, load):
    if memory.load is None or memory.load.name != load:
        memory.fill(load)
    return memory


@pytest.fixture
def measure(benchmark):
    """Times the work of a job, and checks the answer of the last round."""

    def run(job, rounds=3):
        answers = []
        benchmark.group = job.engine
        benchmark.extra_info["pages"] = job.pages
        benchmark.pedantic(
            lambda prepared: answers.append(job.work(prepared)),
            setup=lambda: (answers.clear(), ((job.prepare(),), {}))[1],
            rounds=rounds,
        )
        job.check(answers[0])

    return run
