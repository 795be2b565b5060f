"""A Dask cluster as an executor: sweeps come out as with processes of our own, whoever dies meanwhile."""

import os
import signal
import subprocess
import sys
import time

import pytest

from pksm.cli.main import main
from pksm.errors import PksmError, UsageError
from pksm.parallel import cluster as parallel
from pksm.parallel.pool import results
from pksm.simulation import from_sources, sweep

from support.cli_runs import is_one_line, run
from support.memory_sources import GivenSource, data

distributed = pytest.importorskip("distributed")
SMALL = {"pages": 200, "until_ms": 300}
VARY = ["pages_to_scan=50,100"]


@pytest.fixture(scope="module")
def local():
    """A cluster of two processes."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", worker_dashboard_address=":0"
    ) as made:
        yield made


def test_a_sweep_is_that_of_our_own_processes(local):
    own = sweep("b", "ksmd,pksmd", ["ksmd.pages_to_scan=50,100"], seeds=2, workers=2, **SMALL)
    with parallel.cluster(local.scheduler_address) as executor:
        assert sweep("b", "ksmd,pksmd", ["ksmd.pages_to_scan=50,100"], seeds=2, executor=executor, **SMALL) == own


def test_real_memory_is_sent_once(local, monkeypatch):
    memory = from_sources([GivenSource("p", data(*[b"a" * 4096] * 3, b"b" * 4096))])
    sent = []
    share = parallel.Cluster.share
    monkeypatch.setattr(parallel.Cluster, "share", lambda self, thing: [sent.append(thing), share(self, thing)][1])
    with parallel.cluster(local.scheduler_address) as executor:
        document = sweep(memory, "ksmd", VARY, executor=executor, until_ms=1000)
    assert [row["saved_bytes"]["median"] for row in document["rows"]] == [2 * 4096] * 3 and sent == [memory]


def _dies_once(path, number):
    if number == 3 and not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def _fails(number):
    raise PksmError("this one fails")


def test_a_worker_that_is_killed_costs_its_tasks_only(local, tmp_path):
    tasks = {number: (str(tmp_path / "died"), number) for number in range(8)}
    with parallel.cluster(local.scheduler_address) as executor:
        assert dict(results(executor, _dies_once, tasks)) == {number: number * number for number in range(8)}
    assert (tmp_path / "died").exists()


def test_an_error_of_a_task_reaches_the_caller(local):
    with parallel.cluster(local.scheduler_address) as executor, pytest.raises(PksmError, match="this one fails"):
        list(results(executor, _fails, {0: (0,)}))


def test_a_scheduler_that_is_killed_is_one_line_and_what_was_done_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "ANSWER_S", 10)
    part, file = tmp_path / "part", tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    beginning = [*dask, "scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(file)]
    working = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    with subprocess.Popen(beginning, **quiet) as scheduler:
        while not file.exists():
            time.sleep(0.05)
        with subprocess.Popen(working, **quiet) as worker:
            try:

                def kill(done, total):
                    if done == 1:
                        scheduler.kill()

                with pytest.raises(PksmError) as error, parallel.cluster(scheduler_file=file) as executor:
                    sweep("b", "ksmd", VARY, executor=executor, resume=part, progress=kill, **SMALL | {"pages": 40_000})
            finally:
                scheduler.kill()
                worker.kill()
    assert "\n" not in str(error.value)
    print(error.value)
    assert 2 <= len(part.read_text().splitlines()) < 4


def test_the_command_takes_a_scheduler_and_its_file(local, tmp_path, capfd):
    small = ("sweep", "b", "--pages", "200", "--until", "300", "--vary", *VARY)
    done = run(capfd, *small, "--scheduler", local.scheduler_address)
    assert done.code == 0 and "3 of 3 runs" in done.out, done.err

    path = tmp_path / "scheduler.json"
    path.write_text('{"address": "%s"}' % local.scheduler_address)
    assert run(capfd, *small, "--scheduler-file", path).out == done.out


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers", 1),
        (["--scheduler", "nonsense"], "no Dask scheduler answers", 1),
        (["--scheduler-file", "/nowhere"], "/nowhere: there is no such file", 2),
        (["--scheduler", "tcp://127.0.0.1:9", "--workers", "2"], "the cluster has its own", 2),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words, code, capfd, monkeypatch):
    monkeypatch.setattr(parallel, "ANSWER_S", 1)
    done = run(capfd, "sweep", "b", "--vary", *VARY, *arguments)
    assert done.code == code and is_one_line(done.err) and words in done.err, done.err


def test_without_dask_it_is_one_line(monkeypatch, capfd):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert main(["sweep", "b", "--vary", *VARY, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "pip install 'pksm[dask]'" in capfd.readouterr().err


def test_one_place_is_to_be_named():
    with pytest.raises(UsageError, match="either the address"), parallel.cluster():
        pass
