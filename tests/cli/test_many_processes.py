"""pksm scan --all and --cgroup: many processes, those that can't be read, freezing, two scans at once."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from pksm.cli import exit_codes
from pksm.cli.main import main
from pksm.linux.proc import access, processes, tasks

from support.cli_runs import ROOT, as_nobody, environment, is_one_line, on_terminal, run, run_apart, start

HOLD = "import sys; keep = [bytes(4096 * 200 - 1) + b'x', 'a' * 999999]; print('ready', flush=True); sys.stdin.read()"


@contextlib.contextmanager
def holders(count):
    """Run interpreters that hold something, and give their pids."""
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(count)
        ]
        for process in made:
            assert process.stdout.readline() == b"ready\n"
        yield [process.pid for process in made]


@pytest.fixture
def kernel_threads():
    found = []
    for pid in tasks.pids():
        try:
            access.check_kind(pid)
        except access.UnreadError as error:
            found += [pid] if error.cause == access.KERNEL_THREAD else []
    if len(found) < 5:
        pytest.skip("no kernel threads here (a container)")
    return found[:5]


def these(monkeypatch, pids):
    monkeypatch.setattr(processes, "all_pids", lambda: sorted(pids))


def test_all_pids():
    with holders(1) as pids:
        found = processes.all_pids()
        assert pids[0] in found and os.getpid() not in found and os.getppid() in found


def test_kernel_threads_are_no_processes_to_scan(kernel_threads):
    """No process, no line about it, and no partial result because of it."""
    assert not set(kernel_threads) & set(processes.all_pids())


@contextlib.contextmanager
def zombies(count):
    """Processes that have ended and that nobody has waited for."""
    ended = [subprocess.Popen(["true"]) for _ in range(count)]
    for one in ended:
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
    yield [one.pid for one in ended]
    for one in ended:
        one.wait()


FIRST_THREAD_ENDS = """
import ctypes, threading, time
def stay():
    print("ready", flush=True)
    time.sleep(100)
threading.Thread(target=stay).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_zombies_are_no_processes_to_scan():
    """They have no memory. One whose first thread alone has ended has, though its state is a zombie's, too."""
    with (
        zombies(2) as ended,
        subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS], stdout=subprocess.PIPE) as one,
    ):
        try:
            assert one.stdout.readline() == b"ready\n"
            while tasks.read_stat(one.pid).state != "Z":
                time.sleep(0.01)
            assert one.pid in processes.all_pids() and not set(ended) & set(processes.all_pids())
        finally:
            one.kill()


def test_a_scan_of_all_is_whole_though_there_are_zombies(capfd, monkeypatch):
    with holders(2) as pids, zombies(2) as ended:
        monkeypatch.setattr(tasks, "pids", lambda: sorted([*pids, *ended]))
        done = run(capfd, "scan", "--all", "--json")
    result = json.loads(done.out)
    assert (done.code, done.err, result["unread"]) == (0, "", [])
    assert [source["pid"] for source in result["sources"]] == sorted(pids)


def test_all(capfd, monkeypatch, kernel_threads):
    with holders(3) as pids:
        zombie = subprocess.Popen(["true"])
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        these(monkeypatch, [*pids, *kernel_threads, zombie.pid])
        done = run(capfd, "scan", "--all", "--json")
        zombie.wait()
    result = json.loads(done.out)
    assert done.code == 3 and result["partial"]
    assert [source["pid"] for source in result["sources"]] == sorted(pids)
    causes = {one["pid"]: one["cause"] for one in result["unread"]}
    assert causes == dict.fromkeys(kernel_threads, "kernel thread") | {zombie.pid: "ended"}
    threads, ended = sorted(done.err.splitlines(), key=lambda line: "zombie" in line)
    assert "5 kernel threads have no memory of their own" in threads and str(zombie.pid) in ended
    assert all(f" {pid}" in threads for pid in kernel_threads)
    (family,) = result["by_command"]
    assert family["processes"] == 3 and family["pages"] == result["totals"]["pages"]
    assert family["saving_pages"] == result["totals"]["duplicates"] + result["totals"]["zero"]
    assert abs(family["share_bytes"] - result["saving"]["bytes"]) <= 3


ALL_OF_THESE = """
import sys
from pksm.cli import main as cli
from pksm.linux.proc import processes
pids = list(map(int, sys.argv[1].split(",")))
processes.all_pids = lambda: pids
sys.exit(cli.main(["scan", "--all"]))
"""


def test_all_of_200_on_a_terminal():
    """Progress is seen, what could not be read is named, and the exit code tells that it is a part."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE)) for _ in range(200)]
        zombies = [stack.enter_context(subprocess.Popen(["true"])) for _ in range(5)]
        for zombie in zombies:
            os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        pids = ",".join(str(process.pid) for process in [*held, *zombies])
        shown = on_terminal([sys.executable, "-c", ALL_OF_THESE, pids], 3, COLUMNS="120", NO_COLOR="1")
    assert shown.count("\x1b[Kreading: ") >= 2
    assert "5 processes ended before they were read: " in shown
    assert all(f"true {zombie.pid}" in shown or f"pid {zombie.pid}" in shown for zombie in zombies)
    rows = [line.split() for line in shown.splitlines() if line.startswith("cat of ")]
    assert [row[3] for row in rows] == ["200"]


def test_many_are_told_by_command_and_user(capfd, monkeypatch):
    with holders(2) as pids:
        monkeypatch.setattr("pksm.report.scan.SOURCES_SHOWN", 1)
        these(monkeypatch, pids)
        done = run(capfd, "scan", "--all", "--matrix")
    assert done.code == 0 and "Command and user" in done.out and "Contents in common" in done.out
    assert "Source, by itself" not in done.out


def test_nobody_reads_its_own_only(capfd, monkeypatch):
    if os.geteuid():
        pytest.skip("gives up root, so it must have it")
    run(capfd, "scan", "--json", "--", "sleep", "5")  # all modules are loaded

    def work():
        with contextlib.redirect_stdout(None), subprocess.Popen(["sleep", "60"]) as own:
            try:
                these(monkeypatch, [own.pid, *pids])
                time.sleep(0.2)  # the child has started its program
                return main(["scan", "--all", "--csv"])
            finally:
                own.kill()

    with holders(5) as pids:
        capfd.readouterr()
        code = as_nobody(work)
    said = capfd.readouterr().err
    assert code in (1, 3), said  # stdout is none: the result can't be written
    assert "5 processes may not be read" in said and all(f" {pid}" in said for pid in pids)


def test_all_of_a_namespace_of_its_own():
    """The real listing, where it shows few processes."""
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
            '"$0" -c "$1" < /dev/zero & sleep 0.5; "$0" -m pksm scan --all --json', sys.executable,
            "import time; time.sleep(60)"]  # fmt: skip
    try:
        done = subprocess.run(argv, capture_output=True, text=True, env=environment(), cwd=ROOT, timeout=60)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert [source["pid"] for source in json.loads(done.stdout)["sources"]][:2] == [1, 2]


def test_none_can_be_read(capfd, monkeypatch, kernel_threads):
    these(monkeypatch, kernel_threads)
    done = run(capfd, "scan", "--all")
    assert done.code == 1 and is_one_line(done.err, f"pid {kernel_threads[0]} ", "kernel thread", "; 4 more")


def test_named_twice_is_read_once(capfd, monkeypatch):
    with holders(2) as pids:
        these(monkeypatch, pids)
        done = run(capfd, "scan", "--all", "--pid", str(pids[1]), "--json")
    assert sorted(source["pid"] for source in json.loads(done.out)["sources"]) == sorted(pids)


def test_there_is_nobody_else(capfd, monkeypatch):
    these(monkeypatch, [])
    done = run(capfd, "scan", "--all")
    assert done.code == 2 and is_one_line(done.err, "no processes")


def test_a_control_group_without_processes_is_named(capfd, tmp_path):
    (tmp_path / "cgroup.procs").touch()
    for verb in (["scan"], ["record", "-o", tmp_path / "a"]):
        done = run(capfd, *verb, "--cgroup", tmp_path)
        assert done.code == 2 and is_one_line(done.err, f"{tmp_path}: there are no processes")


def test_what_can_not_be_meant(capfd, tmp_path):
    (tmp_path / "ram").write_bytes(bytes(4096))
    ram = tmp_path / "ram"
    for arguments, word in (
        (["--cgroup", tmp_path], "not a control group"),
        (["--freeze-timeout", "5", ram], "--freeze"),
        (["--freeze", ram], "no live process"),
        (["--racy", "maybe", ram], "--racy"),
    ):
        done = run(capfd, "scan", *arguments)
        assert done.code == 2 and is_one_line(done.err, word)


def test_frozen_on_the_command_line(capfd):
    with holders(2) as pids:
        done = run(capfd, "scan", "--freeze", "--json", *(word for pid in pids for word in ("--pid", str(pid))))
        result = json.loads(done.out)
        assert (done.code, done.err) == (0, "")
        assert all(source["frozen"] and source["racy"] == 0 for source in result["sources"])
    done = run(capfd, "scan", "--freeze", "--json", "--after", "0.2", "--", "sleep", "60")
    assert done.code == 0 and json.loads(done.out)["sources"][0]["frozen"]


def test_two_scans_at_once():
    """Neither disturbs the other, nor the frames that the processes share."""
    with holders(2) as pids:
        words = [word for pid in pids for word in ("--pid", str(pid))]
        with start("scan", "--json", *words) as one, start("scan", "--json", *words) as two:
            results = [json.loads(scan.communicate(timeout=120)[0]) for scan in (one, two)]
        assert one.returncode == two.returncode == 0
    assert results[0]["totals"] == results[1]["totals"]


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.2])
def test_a_process_that_dies_at_some_point(delay):
    """Whenever that is: a result, or one line; nothing hangs."""
    with holders(1) as others, subprocess.Popen(["sleep", "600"]) as dying:
        with start("scan", "--json", "--pid", str(dying.pid), "--pid", str(others[0])) as scan:
            time.sleep(delay)
            dying.send_signal(signal.SIGKILL)
            out, err = scan.communicate(timeout=120)
        assert scan.returncode in (0, 3) and "Traceback" not in err
        pids = [source["pid"] for source in json.loads(out)["sources"]]
        assert others[0] in pids and (scan.returncode == 3) == (len(err.splitlines()) > 0)


def test_fingerprints_of_processes(capfd, tmp_path):
    prints = tmp_path / "prints"
    with holders(2) as pids:
        words = [word for pid in pids for word in ("--pid", str(pid))]
        live = json.loads(run(capfd, "scan", "--json", *words).out)
        assert run(capfd, "fingerprint", "-o", prints, *words).code == 0
    done = run(capfd, "scan", "--json", prints)
    again = json.loads(done.out)
    assert done.code == 0 and again["totals"] == live["totals"]
    assert [source["user"] for source in again["sources"]] == [source["user"] for source in live["sources"]]
    assert again["by_command"] == live["by_command"] and again["matrix"] == live["matrix"]
    table = run(capfd, "scan", prints)
    assert table.code == 0 and "not known" in table.out


def test_more_processes_than_descriptors():
    """Those that fit are read, and one line names the others."""
    with holders(70) as pids:
        options = [word for pid in pids for word in ("--pid", str(pid))]
        limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (64, 64))
        done = run_apart("scan", *options, "--json", preexec_fn=limit)
    document = json.loads(done.out)
    read, unread = document["sources"], document["unread"]
    assert done.code == exit_codes.PARTIAL and 10 < len(read) < 64
    assert len(read) + len(unread) == 70 and {one["cause"] for one in unread} == {"Too many open files"}
    (line,) = (line for line in done.err.splitlines() if "Too many open files" in line)
    assert f"{len(unread)} processes cannot be read" in line
