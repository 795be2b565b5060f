"""A fleet in buckets: equal to all at once, whoever adds it up, and whoever dies meanwhile."""

import os
import signal
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pksm.errors import PksmError, UsageError
from pksm.fleet.generate import Tree
from pksm.fleet.rows import grouped
from pksm.fleet.run import add_up, buckets_for
from pksm.fleet.tally import Groups, Tally, tally
from pksm.parallel import cluster as parallel

TREE = Tree(vms=9, fanout=(3,), pages=(60, 40), own=20, zero=2)
GROUPS = Groups(np.arange(9) // 3, np.arange(9) % 2)


def equal(one, other):
    for field in fields(Tally):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.fixture(scope="module")
def all_at_once():
    return tally(grouped(np.concatenate([TREE.vm(number) for number in range(9)])), GROUPS)


def _dies_once(path, number):
    if number == 4 and not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return TREE.vm(number)


def _fails(number):
    if number == 8:
        raise PksmError("no such memory")
    return TREE.vm(number)


def _nothing_left_to_read(number):
    raise AssertionError(number)


def test_processes_of_our_own_lose_a_worker(tmp_path, all_at_once):
    read = partial(_dies_once, str(tmp_path / "died"))
    equal(add_up(read, GROUPS, tmp_path / "run", buckets=7, workers=2), all_at_once)
    assert (tmp_path / "died").exists()


def test_a_cluster_loses_a_worker(tmp_path, all_at_once):
    distributed = pytest.importorskip("distributed")
    read = partial(_dies_once, str(tmp_path / "died"))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", worker_dashboard_address=":0"
        ) as local,
        parallel.cluster(local.scheduler_address) as executor,
    ):
        equal(add_up(read, GROUPS, tmp_path / "run", buckets=5, executor=executor), all_at_once)
    assert (tmp_path / "died").exists()


def test_a_run_that_ended_goes_on(tmp_path, all_at_once):
    with pytest.raises(PksmError, match="no such memory"):
        add_up(_fails, GROUPS, tmp_path / "run", buckets=3, workers=1)
    equal(add_up(TREE.vm, GROUPS, tmp_path / "run", buckets=3, workers=1), all_at_once)
    equal(add_up(_nothing_left_to_read, GROUPS, tmp_path / "run", buckets=3, workers=1), all_at_once)


def test_damaged_rows_are_one_line(tmp_path):
    add_up(TREE.vm, GROUPS, tmp_path / "run", buckets=2, workers=1)
    for bucket in (tmp_path / "run").glob("bucket-*"):
        bucket.unlink()
    os.truncate(tmp_path / "run" / "rows-000003", 100)
    with pytest.raises(PksmError, match="rows-000003: is damaged"):
        add_up(TREE.vm, GROUPS, tmp_path / "run", buckets=2, workers=1)


def test_a_fleet_of_nobody_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one"):
        add_up(TREE.vm, Groups(np.zeros(0, int), np.zeros(0, int)), tmp_path / "run")


def test_buckets_bound_memory():
    assert buckets_for(10**9, 1 << 30, 2) * (1 << 30) >= 160 * 2 * 10**9
