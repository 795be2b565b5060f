"""Whoever dies while pksm fleet counts: the answer is that of a run that nobody disturbed, and what was done is kept."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from pksm.cli import output
from pksm.fleet import files, settings, tree_vm
from pksm.parallel import pool

from support.cli_runs import is_one_line, run
from support.writers.fingerprints import fingerprints

HOSTS = 24
STAGES = pytest.mark.parametrize("stage", ["reading", "counting"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fleet")
    for host in range(HOSTS):
        sums = (tree_vm(host, 400) >> 2).tolist()
        (made / f"h{host:02}.fp").write_bytes(fingerprints({"vm": ({}, sums)}))
    return made


@pytest.fixture(autouse=True)
def many_tasks(monkeypatch):
    """A task for each file, and ranges of some hundred rows."""
    monkeypatch.setattr(files, "BATCH_FILES", 1)
    monkeypatch.setattr(settings, "ROW_BYTES", 4 << 20)


def document(capfd, *arguments):
    done = run(capfd, "fleet", *arguments, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found.pop("peak_bytes") > 0 and found["ranges"] > 10
    return found


@pytest.fixture
def undisturbed(folder, capfd):
    return document(capfd, folder, "--workers", "2")


def once_begun(monkeypatch, stage, act):
    """Let act() happen when the first task of a stage is done; return a list that then has what was done."""
    seen = []

    def show(self, line):
        what, number = re.match(r"(\w+): (\d+) of", line()).groups()
        if what == stage and number != "0" and not seen:
            seen.append(int(number))
            act()

    monkeypatch.setattr(output.Progress, "show", show)
    return seen


@STAGES
def test_a_process_of_ours_is_killed(folder, undisturbed, stage, capfd, monkeypatch):
    pools, made = [], pool._processes
    monkeypatch.setattr(pool, "_processes", lambda workers: [pools.append(workers), made(workers)][1])
    seen = once_begun(monkeypatch, stage, lambda: os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL))
    assert document(capfd, folder, "--workers", "2") == undisturbed
    assert seen == [1] and pools == [2, 2, 2], "one for each stage, and one for what the dead one left"


@STAGES
def test_a_worker_of_a_cluster_is_killed(folder, undisturbed, stage, capfd, monkeypatch):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", worker_dashboard_address=":0"
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        before = set(client.run(os.getpid).values())
        seen = once_begun(monkeypatch, stage, lambda: os.kill(min(before), signal.SIGKILL))
        assert document(capfd, folder, "--scheduler", local.scheduler_address) == undisturbed
        assert seen == [1]
        client.wait_for_workers(2)
        assert min(before) not in client.run(os.getpid).values()


@STAGES
def test_the_scheduler_is_killed(folder, undisturbed, stage, tmp_path, capfd, monkeypatch):
    pytest.importorskip("distributed")
    file, work = tmp_path / "scheduler.json", tmp_path / "work"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduling = [*dask, "scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(file)]
    working = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    with subprocess.Popen(scheduling, **quiet) as scheduler:
        while not file.exists():
            assert scheduler.poll() is None, "the scheduler does not start"
            time.sleep(0.05)
        with subprocess.Popen(working, **quiet) as worker:
            try:
                seen = once_begun(monkeypatch, stage, scheduler.kill)
                done = run(capfd, "fleet", folder, "--scheduler-file", file, "--work", work)
            finally:
                scheduler.kill()
                worker.kill()
    assert done.code == 1 and is_one_line(done.err) and done.out == "" and seen == [1], done.err
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*.json")}
    assert len(kept) == HOSTS if stage == "counting" else 1 <= len(kept) < HOSTS
    monkeypatch.undo()
    monkeypatch.setattr(settings, "ROW_BYTES", 4 << 20)
    resumed = document(capfd, folder, "--work", work, "--workers", "2")
    assert resumed == {**undisturbed, "work": str(work)}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
