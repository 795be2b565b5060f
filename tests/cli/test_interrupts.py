"""Ctrl-C: what was gathered by then is told, and nothing stops halfway."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pksm import __main__, sources
from pksm.cli.interrupts import HeldInterrupts

from support.cli_runs import is_one_line, run, start
from support.memory_sources import GivenSource, data, write_file

SIZE = 4096


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def page(number):
    return bytes([number]) * SIZE


def test_what_was_gathered_is_told(tmp_path, capfd, monkeypatch):
    ram = write_file(tmp_path / "ram", [page(1), page(2), page(1)], SIZE)
    process = GivenSource("pid 9", data(page(1)), then=interrupt)
    monkeypatch.setattr(sources, "open_pid", lambda pid, racy: process)
    done = run(capfd, "scan", "--json", ram, "--pid", "9")
    result = json.loads(done.out)
    assert done.code == 130 and is_one_line(done.err, "interrupted", "4 pages", "2 of 2 sources")
    assert result["interrupted"] and result["totals"]["pages"] == 4 and result["totals"]["duplicates"] == 2
    assert process.closed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fingerprints_say_that_reading_was_interrupted(tmp_path, capfd, monkeypatch):
    ram, prints = write_file(tmp_path / "ram", [page(1), page(2), page(1)], SIZE), tmp_path / "prints"
    monkeypatch.setattr(sources, "open_pid", lambda pid, racy: GivenSource("pid 9", data(page(1)), then=interrupt))
    assert run(capfd, "fingerprint", "-o", prints, ram, "--pid", "9", "--pid", "10").code == 130
    done = run(capfd, "scan", "--json", prints)
    assert done.code == 3 and is_one_line(done.err, str(prints), "interrupted", "2 of 3 sources")
    assert json.loads(done.out)["partial"]


def test_nothing_was_gathered(capfd, monkeypatch):
    monkeypatch.setattr(sources, "open_pid", lambda pid, racy: GivenSource("pid 9", [], then=interrupt))
    done = run(capfd, "scan", "--pid", "9")
    assert (done.code, done.out) == (130, "") and is_one_line(done.err, "interrupted")


def test_a_step_is_not_stopped_halfway():
    held, done = HeldInterrupts(), []
    with pytest.raises(KeyboardInterrupt), held.installed():
        with held.hold():
            with held.hold():
                interrupt()
                done.append("inner step")
            done.append("outer step")
        done.append("never")
    assert done == ["inner step", "outer step"]
    with pytest.raises(KeyboardInterrupt), held.installed():
        interrupt()
        time.sleep(10)  # the signal is on its way


def test_an_error_goes_before_an_interrupt():
    held = HeldInterrupts()
    with held.installed(), pytest.raises(ZeroDivisionError), held.hold():
        interrupt()
        raise ZeroDivisionError


def test_where_interrupts_are_ignored_they_stay_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with HeldInterrupts().installed():
            interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_the_main_thread_signals_are_left_alone():
    fine = []

    def work():
        with HeldInterrupts().installed():
            fine.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert fine


def children_of(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_command_is_ended_with_us(tmp_path):
    """In a process of its own, while it waits for the command to settle."""
    with start("scan", "--after", "600", "--", "sleep", "601") as process:
        while not (children := children_of(process.pid)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "") and is_one_line(err, "interrupted")
    assert not any(os.path.exists(f"/proc/{child}") for child in children)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whoever_asks_us_to_end_gets_what_ctrl_c_gets(tmp_path, number):
    """An exit code that names the signal, and nothing is left behind: no process, no file."""
    with start("fingerprint", "-o", tmp_path / "a.fp", "--after", "600", "--", "sleep", "601") as process:
        while not (children := children_of(process.pid)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "") and is_one_line(err, f"interrupted by {number.name}")
    assert not any(os.path.exists(f"/proc/{child}") for child in children)
    assert os.listdir(tmp_path) == []


def test_sighup_is_left_ignored_as_nohup_does(tmp_path):
    ram = write_file(tmp_path / "ram", [page(1)], SIZE)
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with start("scan", "--json", ram, "--after", "1", "--", "sleep", "600", **ignoring) as process:
        while not children_of(process.pid):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and not json.loads(out)["interrupted"]


def test_a_background_job_is_not_interrupted(tmp_path):
    """Shells start background jobs with SIGINT ignored."""
    ram = write_file(tmp_path / "ram", [page(1)], SIZE)
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with start("scan", "--json", ram, "--after", "1", "--", "sleep", "600", **ignoring) as process:
        while not children_of(process.pid):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and not json.loads(out)["interrupted"]


def test_while_modules_are_loaded(monkeypatch, capfd):
    def interrupted(**how):
        raise KeyboardInterrupt

    monkeypatch.setattr("pksm.cli.main.main", interrupted)
    assert __main__.main() == 130
    assert capfd.readouterr() == ("", "pksm: interrupted\n")
