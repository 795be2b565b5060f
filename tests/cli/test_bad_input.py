"""Whatever is wrong with what was asked for: one line on stderr, nothing on stdout, the documented exit code."""

import json
import os
import pickle
import resource
import subprocess
import sys
from functools import partial

import pytest

from pksm import sources
from pksm.cli.main import main
from pksm.cli.verbs import scan
from pksm.errors import UsageError
from pksm.sources.images import raw

from support.cli_runs import Done, as_nobody, command, environment, is_one_line, run, run_apart
from support.memory_sources import write_file

SIZE = 4096


@pytest.fixture
def ram(tmp_path):
    return write_file(tmp_path / "ram", [bytes(SIZE), b"a" * SIZE], SIZE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--page-size", "1000"], ["page size 1000", "power of two"]),
        (["--page-size", "256"], ["512"]),
        (["--page-size", "4M"], ["2097152"]),
        (["--page-size", "0"], ["power of two"]),
        (["--page-size", "4X"], ["4X", "16K"]),
        (["--page-size", "-4096"], ["--page-size"]),
        (["--checksum", "md5"], ["md5", "xxh3-64", "jhash2", "sampled"]),
        (["--order", "age"], ["age", "content, checksum, checksum-content"]),
        (["--policy", "pksmd:v9"], ["v9", "fixed, v0.1, v0.2, android-3.4, reveriel"]),
        (["--policy", "pksm"], ["'pksm'", "pksmd, ksmd, uksm, cksm, nobody"]),
        (["--policy", "pksmd,pksmd:v0.1"], ["one policy"]),
        (["--policy", ","], ["--policy", "commas"]),
        (["--set", "speed=3"], ["speed", "pages_to_scan"]),
        (["--set", "pages_to_scan"], ["name=value"]),
        (["--set", "pages_to_scan=many"], ["pages_to_scan=many", "whole number"]),
        (["--set", "pages_to_scan=0"], ["pages_to_scan=0", "from 1"]),
        (["--set", "quirks=fast"], ["fast", "lifo-batch"]),
        (["--set", "run=0"], ["run=0"]),
        (["--view", "pages"], ["--view", "'pages'", "'frames', 'mappings'"]),
        (["--threads", "0"], ["--threads: 0"]),
        (["--threads", "x"], ["--threads"]),
        (["--top", "-1"], ["--top: -1"]),
        (["--json", "--csv"], ["--csv", "--json"]),
        (["--csv", "--matrix"], ["--matrix", "CSV", "--json"]),
        (["--csv", "--show-bytes"], ["--show-bytes", "CSV", "--json"]),
        (["--racy", "drop"], ["--racy: drop", "no live process"]),
        (["--racy", "unchecked"], ["--racy: unchecked"]),
        (["--after", "1"], ["--after", "--"]),
        (["--fast"], ["--fast", "pksm scan --help"]),
        (["--pid", "x"], ["--pid", "x"]),
        (["--pid", "0"], ["process id"]),
        (["--"], ["no command"]),
        (["--after", "-1", "--", "true"], ["--after", "from 0"]),
        (["--after", "inf", "--", "true"], ["--after"]),
        (["--after", "nan", "--", "true"], ["--after"]),
        (["--after", "3000000", "--", "true"], ["--after: 3e+06 s", "less than a day"]),
        (["--after", "1e10", "--", "true"], ["--after", "1e10"]),
        (["--freeze", "--freeze-timeout", "1e10", "--", "sleep", "60"], ["--freeze-timeout", "1e10", "10m"]),
        (["--freeze", "--freeze-timeout", "nan", "--", "sleep", "60"], ["--freeze-timeout", "nan"]),
        (["--freeze", "--freeze-timeout", "25h", "--", "sleep", "60"], ["--freeze-timeout: ", "up to a day"]),
        (["--after", "1w", "--", "true"], ["--after", "1w", "10m"]),
        (["--pid", "1 x"], ["--pid", "1 x", "pidof"]),
        (["--pid", " "], ["--pid"]),
        (["--pid", "-1"], ["--pid"]),
        (["--", "no-such-command-anywhere"], ["no-such-command-anywhere", "not found"]),
    ],
    ids=" ".join,
)
def test_wrong_usage(ram, capfd, options, words):
    done = run(capfd, "scan", ram, *options)
    assert (done.code, done.out) == (2, "") and is_one_line(done.err, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["pksm demo"]),
        (["scna"], ["scna", "scan?"]),
        (["scan"], ["for example", "pksm scan --pid"]),
        (["features", "more"], ["more"]),
        (["run", "--", ""], ["write the command last", "pksm run -- COMMAND"]),
        (["features", "--", "ls"], ["features", "command"]),
        (["demo", "--fast"], ["--fast"]),
        (["--fast"], ["--fast"]),
        (["validate", "--calibrate", "--workload", "fork-before"], ["--calibrate", "--workload"]),
        (["validate", "--track", "writes"], ["--track", "--replay"]),
        (["validate", "--predict", "--every", "1s"], ["--every", "--replay"]),
        (["validate", "--replay", "--pages", "100"], ["--pages"]),
        (["validate", "--predict", "--pages", "16384"], ["--pages"]),
        (["validate", "--calibrate", "--seed", "0"], ["--seed"]),
        (["record", "--info", "FILE", "--dry-run"], ["--dry-run", "--info"]),
        (["record", "--info", "FILE", "--every", "1s"], ["--every", "--info"]),
        (["record", "--info", "FILE", "--track", "hashes"], ["--track", "--info"]),
        (["record", "--info", "FILE", "--duration", "1m"], ["--duration", "--info"]),
        (["record", "--export", "OUT", "FILE", "--track", "writes"], ["--track", "--export"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_verbs(capfd, arguments, words):
    done = run(capfd, *arguments)
    assert (done.code, done.out) == (2, "") and is_one_line(done.err, *words)


def test_files_that_hold_no_memory(tmp_path, capfd):
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(b"x" * 100)
    os.mkfifo(tmp_path / "pipe")
    for name, code, words in [
        ("missing", 1, ["no such file"]),
        ("empty", 1, ["empty"]),
        ("short", 1, ["100 bytes", "one page of 4096"]),
        (".", 2, ["directory"]),
        ("pipe", 2, ["pipe"]),
    ]:
        done = run(capfd, "scan", tmp_path / name)
        assert (done.code, done.out) == (code, "") and is_one_line(done.err, *words)


def test_the_same_twice(tmp_path, ram, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.link("ram", "hard")
    os.symlink("ram", "soft")
    for other in ("ram", "./ram", "hard", "soft"):
        done = run(capfd, "scan", "ram", other)
        assert (done.code, done.out) == (2, "") and is_one_line(done.err, other)
    done = run(capfd, "scan", "--pid", "1", "--pid", "1")
    assert (done.code, done.out) == (2, "") and is_one_line(done.err, "pid 1", "twice")


def test_a_number_is_no_file(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(capfd, "scan", "4711")
    assert (done.code, done.out) == (2, "") and is_one_line(done.err, "--pid 4711")
    write_file(tmp_path / "4711", [bytes(SIZE)], SIZE)
    assert run(capfd, "scan", "4711").code == 0


def unprivileged(capfd, *arguments):
    """Run main() as a user who is not root; modules and files of ours are loaded before."""
    if os.geteuid():
        return run(capfd, *arguments)
    capfd.readouterr()
    code = as_nobody(lambda: main(list(arguments)))
    return Done(code, *capfd.readouterr())


def test_a_file_that_may_not_be_read(ram, capfd):
    assert run(capfd, "scan", ram).code == 0
    os.chmod(ram, 0)
    done = unprivileged(capfd, "scan", ram)
    assert (done.code, done.out) == (1, "") and is_one_line(done.err, ram, "permission denied", "root")


def test_a_process_that_may_not_be_read(capfd):
    run(capfd, "scan", "--pid", str(os.getpid()))
    done = unprivileged(capfd, "scan", "--pid", "1")
    assert (done.code, done.out) == (1, "") and is_one_line(done.err, "pid 1", "ptrace", "as root")


def test_a_file_that_shrinks_while_it_is_mapped(ram, capfd, monkeypatch):
    class Shrinking(raw.RawSource):
        def regions(self, page_size, allocate, progress):
            yield from super().regions(page_size, allocate, progress)
            os.truncate(self.name, 0)

    monkeypatch.setattr(sources, "open_target", lambda path, sandbox: Shrinking(sources.OpenFile(path)))
    done = run(capfd, "scan", ram)
    assert (done.code, done.out) == (1, "") and is_one_line(done.err, ram, "shorter", "copy")


def ended_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)


def test_a_process_that_is_not_there(capfd):
    done = run(capfd, "scan", "--pid", ended_pid())
    assert (done.code, done.out) == (1, "") and is_one_line(done.err, "no such process")


def test_a_process_that_has_ended_but_is_not_reaped(capfd):
    process = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    done = run(capfd, "scan", "--pid", str(process.pid))
    process.stdout.close()
    process.wait()
    assert (done.code, done.out) == (1, "") and is_one_line(done.err, f"pid {process.pid}")


def test_processes_have_pages_of_one_size(capfd):
    done = run(capfd, "scan", "--pid", str(os.getpid()), "--page-size", "8192")
    assert (done.code, done.out) == (2, "") and is_one_line(done.err, "8192", "4096")


def test_a_command_that_ends_before_it_is_read(capfd):
    done = run(capfd, "scan", "--after", "30", "--", "true")
    assert (done.code, done.out) == (1, "") and is_one_line(done.err, "true", "ended with status 0")


# ---- where the output goes ----


def test_a_full_disk(ram):
    for arguments in (["scan", ram], ["scan", "--json", ram], ["features"], ["--help"], ["--version"]):
        with open("/dev/full", "w") as full:
            done = run_apart(*arguments, stdout=full)
        assert done.code == 1 and is_one_line(done.err, "cannot write the result", "No space left")


def test_a_full_disk_for_remarks(ram):
    with open("/dev/full", "w") as full:
        done = run_apart("scan", "missing", stderr=full)
        assert (done.code, done.out) == (1, "")
        assert run_apart("scan", ram, stderr=full).code == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_closed(tmp_path, unbuffered):
    pages = [number.to_bytes(4, "big") * (SIZE // 4) for number in range(1, 2000)] * 2
    ram = write_file(tmp_path / "ram", pages, SIZE)
    reader, writer = os.pipe()
    with subprocess.Popen(
        command("scan", "--json", "--top", "2000", ram),
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered),
    ) as process:
        os.close(writer)
        assert os.read(reader, 1) == b"{"
        os.close(reader)
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


def test_no_stdout_and_no_stderr_at_all(ram):
    closed = ["sh", "-c", '"$0" "$@" >&- 2>&-', *command("scan", ram)]
    assert subprocess.run(closed, env=environment()).returncode == 1
    heard = subprocess.run(["sh", "-c", '"$0" "$@" >&-', *command("scan", ram)], env=environment(),
                           capture_output=True, text=True)  # fmt: skip
    assert heard.returncode == 1 and is_one_line(heard.stderr, "stdout is closed")


WRITES = 'import os, time; os.write(1, b"noise\\n" * 500); os.write(2, b"noise\\n" * 500); time.sleep(600)'


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_a_command_prints_goes_into_no_file_of_ours(tmp_path, ram, closed):
    """Where a standard stream is closed, the next file that is opened would take its place."""
    keep = tmp_path / "a.fp"
    argv = command("fingerprint", "-o", keep, ram, "--after", "0.3", "--", sys.executable, "-c", WRITES)
    subprocess.run(["sh", "-c", f'"$0" "$@" {closed}', *argv], env=environment(), capture_output=True)
    assert b"noise\nnoise\n" not in keep.read_bytes() and run_apart("scan", keep).code in (0, 3)


def test_a_bug_shows_itself(ram, monkeypatch):
    """Only mistakes of users become one line; what we did wrong is not hidden."""
    monkeypatch.setattr(sources, "open_target", lambda path, sandbox: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["scan", ram])


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("page_size", "pksm: --page-size: it is odd\n"),
        ("n_pages", "pksm: n_pages: it is odd\n"),
        ("changes", "pksm: --set: it is odd\n"),
        ("targets", "pksm: it is odd\n"),
        (None, "pksm: it is odd\n"),
    ],
)
def test_an_argument_of_the_library_becomes_the_option_that_was_typed(ram, capfd, monkeypatch, argument, said):
    def refuse(path, sandbox):
        raise UsageError("it is odd", argument)

    monkeypatch.setattr(sources, "open_target", refuse)
    done = run(capfd, "scan", ram)
    assert (done.code, done.out, done.err) == (2, "", said)


def test_a_usage_error_names_its_argument_to_who_calls_the_library():
    assert str(UsageError("it is odd", "page_size")) == "page_size: it is odd"
    assert str(UsageError("it is odd")) == "it is odd"
    copy = pickle.loads(pickle.dumps(UsageError("it is odd", "page_size")))
    assert (copy.message, copy.argument, str(copy)) == ("it is odd", "page_size", "page_size: it is odd")


@pytest.mark.parametrize(
    ("message", "words"), [("", "out of memory: take less"), ("Unable to allocate 8 GiB", "(Unable to allocate 8 GiB)")]
)
def test_out_of_memory_is_one_line(tmp_path, monkeypatch, capfd, message, words):
    def fail(given, interrupts):
        raise MemoryError(message)

    monkeypatch.setattr(scan, "run", fail)
    done = run(capfd, "scan", tmp_path)
    assert done.code == 1 and is_one_line(done.err, words)


def test_out_of_address_space_is_one_line(tmp_path):
    """Under a limit of what may be mapped, wherever it is met."""
    (tmp_path / "image").write_bytes(os.urandom(64 << 20))
    for limit_bytes in range(100 << 20, 600 << 20, 100 << 20):
        limit = partial(resource.setrlimit, resource.RLIMIT_AS, (limit_bytes, limit_bytes))
        done = run_apart("scan", tmp_path / "image", "--csv", preexec_fn=limit)
        assert "Traceback" not in done.err and done.code in (0, 1, 3), done.err


def test_no_thread_is_needed(tmp_path):
    """Where there is none to be had, as in a control group that allows few, one thread does it all."""
    (tmp_path / "image").write_bytes(os.urandom(4096) * 20000)
    command = [sys.executable, "-c", NO_THREADS, "scan", os.fspath(tmp_path / "image"), "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and json.loads(done.stdout)["totals"]["duplicates"] == 19999, done.stderr


NO_THREADS = """
import sys, threading
def refuse(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
from pksm.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", ["simulate", "sweep", "compare", "report"])
def test_a_directory_is_called_one(tmp_path, capfd, verb):
    varied = ["--vary", "pages_to_scan=1,2"] if verb == "sweep" else []
    assert main([verb, str(tmp_path), *varied]) in (1, 2)
    assert is_one_line(capfd.readouterr().err, "directory")


def test_what_is_no_directory_is_said_to_be_none(ram, capfd):
    for words in (["amalgamate", ram], ["fleet", "--work", ram, ram]):
        done = run(capfd, *words)
        assert done.code in (1, 2) and is_one_line(done.err, "is not a directory", str(ram))


@pytest.mark.parametrize("verb", ["simulate", "sweep", "compare"])
def test_an_empty_file_is_no_trace(tmp_path, capfd, verb):
    empty = tmp_path / "empty"
    empty.touch()
    varied = ["--vary", "pages_to_scan=1,2"] if verb == "sweep" else []
    assert main([verb, str(empty), *varied]) in (1, 2)
    assert is_one_line(capfd.readouterr().err, "empty")


def test_the_file_that_advice_prints_is_no_document(ram, capfd):
    assert main(["advise", ram, "--as", "sysfs", "--json"]) == 2
    assert is_one_line(capfd.readouterr().err, "--as")


@pytest.mark.parametrize(
    ("options", "words"), [(["--enough", "200"], "100 %"), (["--least-percent", "-1"], "from 0 to 100")]
)
def test_shares_of_advice(ram, capfd, options, words):
    assert main(["advise", ram, *options]) == 2
    assert is_one_line(capfd.readouterr().err, words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("simulate zigote", "did you mean zygote? (pksm simulate --list lists all)"),
        ("sweep databse --vary pages_to_scan=1,2", "did you mean database? (pksm sweep --list lists all)"),
        ("compare nothing", "36 more (pksm compare --list lists all)"),
        ("truth W2_onchang", "did you mean W2_onchange? (pksm truth --list lists all)"),
        ("simulate f --policy ksmd --set pages_to_skan=3", "did you mean pages_to_scan or advisor_min"),
        ("simualte", "did you mean simulate? (pksm --help lists all)"),
        ("compare f --policies all", "--policies all: did you mean --policy? (see pksm compare --help)"),
        ("scan --ploicy=ksmd x", "did you mean --policy? (see pksm scan --help)"),
        ("scan --zzz x", "unrecognized arguments: --zzz (see pksm scan --help)"),
    ],
)
def test_a_mistyped_name_is_answered_by_the_nearest(capfd, words, said):
    done = run(capfd, *words.split())
    assert done.code == 2 and is_one_line(done.err) and said in done.err
