"""Files are parsed where nothing else can be done: a reader that tries is stopped, in one line."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import types
from importlib import metadata
from pathlib import Path

import pytest

from pksm.cli.main import main
from pksm.linux.sandbox import seccomp
from pksm.sources import opening

from support import ROOT, TESTS, escapes
from support.cli_runs import Done, as_nobody, command, environment, is_one_line, start
from support.escapes import ATTEMPTS, MAGIC, TRACE
from support.memory_sources import write_file

SIZE = 4096
NOBODY = 65534
WITH_SECCOMP = pytest.mark.skipif(not seccomp.is_offered(), reason="the kernel has no seccomp")


@pytest.fixture
def plugin(tmp_path):
    """A function that runs pksm with the reader of support.escapes, and a file that it is to fail on."""
    packages = tmp_path / "packages"
    info = packages / "escapes-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: escapes\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pksm.sources]\nescapes = support.escapes\n")
    place = Path(tempfile.mkdtemp(prefix="pksm-escapes-"))  # others may not enter pytest's own directories
    place.chmod(0o777)
    trace = place / "trace"

    class Plugin:
        image = place / "trace.image"
        path = os.pathsep.join(map(str, (ROOT, TESTS, packages)))

        def __init__(self):
            self.trace = trace

        def tries(self, attempt, when="regions"):
            self.image.write_bytes((MAGIC + f"{when} {attempt}".encode()).ljust(SIZE, b"\0"))
            self.image.chmod(0o666)
            return self

        def scan(self, *arguments, verb="scan", **variables):
            variables = {"PYTHONPATH": self.path, TRACE: str(trace), **variables}
            done = subprocess.run(
                command(verb, "--json", self.image, *arguments),
                env=environment(**variables),
                capture_output=True,
                text=True,
                timeout=120,
            )
            return Done(done.returncode, done.stdout, done.stderr)

    yield Plugin()
    shutil.rmtree(place)


def is_refused(text):
    """Whether it is one line, with the file's name, and what the system answers or the attempt makes of it."""
    return is_one_line(text, "trace.image") and ("cannot be read: " in text or "PermissionError" in text)


@WITH_SECCOMP
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_a_reader_tries_is_stopped(plugin, attempt):
    before = plugin.tries(attempt, "open_file").image.read_bytes()
    kept = plugin.trace.with_name("kept.fp")  # a file that is open for writing meanwhile
    done = plugin.scan("-o", kept, verb="fingerprint")
    assert (done.code, done.out) == (1, "") and is_refused(done.err), done
    assert not plugin.trace.exists() and not kept.exists() and plugin.image.read_bytes() == before


@WITH_SECCOMP
@pytest.mark.skipif(os.geteuid() != 0, reason="we are not root anyway")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_a_reader_tries_is_stopped_without_root(plugin, attempt, monkeypatch, capfd):
    opening._from_entry_points.cache_clear()
    point = types.SimpleNamespace(name="escapes", load=lambda: escapes)
    real = metadata.entry_points
    monkeypatch.setattr(
        metadata, "entry_points", lambda **of: [point] if of == {"group": "pksm.sources"} else real(**of)
    )
    monkeypatch.setenv(TRACE, str(plugin.trace))
    plugin.tries("nothing", "never")
    assert main(["scan", str(plugin.image)]) == 0  # all modules are loaded: nobody may not be allowed to
    before = plugin.tries(attempt, "open_file").image.read_bytes()
    capfd.readouterr()
    assert as_nobody(lambda: [os.getuid(), main(["scan", str(plugin.image)])]) == [NOBODY, 1]
    out, err = capfd.readouterr()
    opening._from_entry_points.cache_clear()
    assert out == "" and is_refused(err), err
    assert not plugin.trace.exists() and plugin.image.read_bytes() == before


@WITH_SECCOMP
@pytest.mark.parametrize("when", ["open_file", "regions"])
def test_the_rest_goes_on(plugin, tmp_path, when):
    ram = write_file(tmp_path / "ram", [b"a" * SIZE] * 3, SIZE)
    done = plugin.tries("write", when).scan(ram)
    assert done.code == 3 and is_refused(done.err)
    assert [source["name"] for source in json.loads(done.out)["sources"]] == [str(ram)]


@WITH_SECCOMP
def test_a_reader_that_is_stopped_while_it_looks_at_a_file_is_passed_over(plugin):
    done = plugin.tries("write", "sniff").scan()
    assert done.code == 0 and is_one_line(done.err, "the plug-in escapes", "PermissionError")
    assert json.loads(done.out)["sources"][0]["kind"] == "raw"
    assert not plugin.trace.exists()


def test_without_the_sandbox_the_same_reader_writes(plugin):
    done = plugin.tries("write").scan(PKSM_SANDBOX="off")
    assert (done.code, done.err) == (0, "") and plugin.trace.read_text() == "out"
    assert json.loads(done.out)["sources"][0]["kind"] == "escaped"


def test_a_reader_that_tries_nothing_reads_in_the_sandbox(plugin):
    done = plugin.tries("nothing", "never").scan()
    [source] = json.loads(done.out)["sources"]
    assert (done.code, done.err, source["kind"], source["pages"]["data"]) == (0, "", "escaped", 1)


@WITH_SECCOMP
@pytest.mark.parametrize("ending", ["SIGSEGV", "SIGABRT", "exit code 9"])
def test_a_reader_that_dies_is_one_line_and_the_rest_goes_on(plugin, tmp_path, ending):
    before, after = (write_file(tmp_path / name, [name.encode() * SIZE] * 3, SIZE) for name in "ab")
    done = plugin.tries(ending).scan(before, after)
    assert done.code == 3 and is_one_line(done.err, "trace.image", ending)
    found = json.loads(done.out)
    assert [(source["name"], source["duplicates"]) for source in found["sources"]] == [
        (str(before), 2),
        (str(after), 2),
    ]
    alone = plugin.tries(ending).scan()
    assert (alone.code, alone.out) == (1, "") and is_one_line(alone.err, "trace.image", ending)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_simulation_of_a_trace_as_any_other(tmp_path, number, code):
    trace = tmp_path / "long.jsonl"
    lines = [{"op": "spawn", "process": "a"}, {"op": "mmap", "process": "a", "address": 1 << 32, "n": 50}]
    write = {"op": "write", "process": "a", "address": 1 << 32, "content": 7, "n": 50}
    trace.write_text("".join(json.dumps({"t": 0, **line}) + "\n" for line in [*lines, write]))
    fifo = tmp_path / "fifo.jsonl"
    os.mkfifo(fifo)
    with start("simulate", "--json", fifo) as process, open(fifo, "w", encoding="ascii") as writer:
        writer.write(trace.read_text())
        writer.flush()
        time.sleep(1.5)
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert json.loads(out)["interrupted"] is True and json.loads(out)["runs"][0]["final"]["counters"]


@pytest.mark.parametrize("verb", ["simulate", "truth"])
def test_text_that_is_wrong_is_one_line_with_and_without_the_sandbox(tmp_path, verb):
    path = tmp_path / "wrong.jsonl"
    path.write_text('{"t": 0, "op": "spawn"}\n')
    said = []
    for switch in ("on", "off"):
        done = subprocess.run(command(verb, path), env=environment(PKSM_SANDBOX=switch), capture_output=True, text=True)
        said.append((done.returncode, done.stdout, done.stderr))
    assert said[0] == said[1] and is_one_line(said[0][2], "wrong.jsonl", "line 1", "field")
