"""Batches that two threads work off."""

import concurrent.futures
import os
import threading
import time

import pytest

from pksm.linux.proc.batches import work_off

SECONDS = 60


@pytest.fixture(params=[1, 2, 8])
def cpus(request, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(request.param)))
    return request.param


@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_each_batch_is_done_once(cpus, n):
    assert sorted(work_off(lambda a, b: a + b, ((i, 2 * i) for i in range(n)))) == [3 * i for i in range(n)]


def test_two_go_on_at_a_time(cpus):
    together, threads = threading.Barrier(min(cpus, 2), timeout=SECONDS), set()

    def work(number):
        together.wait()
        threads.add(threading.get_ident())
        return number

    assert sorted(work_off(work, [(number,) for number in range(10)])) == list(range(10))
    assert len(threads) == min(cpus, 2) and threading.get_ident() in threads


def test_none_goes_on_when_nobody_wants_more(cpus):
    begun, ended = [], []

    def work(number):
        begun.append(number)
        if threading.current_thread() is not threading.main_thread():
            left.wait(SECONDS)
        ended.append(number)
        return number

    left = threading.Event()
    results = work_off(work, [(number,) for number in range(100)])
    next(results)
    left.set() if cpus == 1 else threading.Timer(0.05, left.set).start()
    results.close()
    assert begun and sorted(begun) == sorted(ended), "what was begun has ended"
    assert len(begun) <= 3


@pytest.mark.parametrize("at", [0, 1, 7])
def test_what_work_raises_is_raised(cpus, at):
    """Whichever thread does it, and soon; an IndexError is no sign of the end."""
    begun = []

    def work(number):
        begun.append(number)
        if number == at:
            raise IndexError(number)
        time.sleep(0.001)
        return number

    with pytest.raises(IndexError, match=str(at)):
        list(work_off(work, [(number,) for number in range(1000)]))
    assert len(begun) < 100, "no more is begun after that"


def test_an_interrupt_while_the_helper_begins(monkeypatch):
    """It ends the helper's work, too."""
    submit, done = concurrent.futures.ThreadPoolExecutor.submit, []

    def interrupted(self, function):
        submit(self, function)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(work_off(lambda number: (time.sleep(0.001), done.append(number)), [(number,) for number in range(1000)]))
    assert len(done) < 100


def test_one_thread_works_off_all_where_no_other_is_to_be_had(cpus, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    threads = []
    done = work_off(lambda number: (threads.append(threading.get_ident()), number)[1], ((n,) for n in range(9)))
    assert list(done) == list(range(9)) and set(threads) == {threading.get_ident()}
