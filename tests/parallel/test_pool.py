"""Processes of our own: a lost one costs its tasks only."""

import os
import signal

import pytest

from pksm.errors import PksmError
from pksm.parallel.pool import own_results


def _dies_once(path):
    if not os.path.exists(path):
        with open(path, "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def _dies(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_costs_its_tasks_only(tmp_path):
    paths = [str(tmp_path / name) for name in "abc"]
    assert sorted(own_results(_dies_once, paths, 1)) == [(0, "lived"), (1, "lived"), (2, "lived")]
    with pytest.raises(PksmError, match="a worker died"):
        list(own_results(_dies, [1, 2], 1))
