"""Whole commands while the system refuses: memory, files, reads, writes, threads at their n-th call; and signals.

A sample of the calls by default. PKSM_FAULTS=20 takes so many of each kind in each command, PKSM_FAULTS=all takes every
call; PKSM_FAULTS_ONLY=NAME,NAME takes those faults alone; PKSM_FAULTS_JSON=FILE stores what was run.
"""

import collections
import contextlib
import datetime
import json
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from pksm.linux import system

from support import ROOT, fault_cases, faults
from support.faults import COUNT, FAULTS, SIGNALS, Fault

PER_FAULT = os.environ.get("PKSM_FAULTS", "0")
ONLY = os.environ.get("PKSM_FAULTS_ONLY", "")
STORED = os.environ.get("PKSM_FAULTS_JSON")
CASES = [case.name for case in fault_cases.cases(0)]
SCHEMA = "pksm.faults/1"


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    shim = faults.build_shim(tmp_path_factory.mktemp("shim"))
    if shim is None:
        pytest.skip("no C compiler here")
    return shim


@pytest.fixture(scope="module")
def world(shim, tmp_path_factory):
    """Give (server, folder, commands by name, what was run)."""
    work, scratch = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("scratch")
    ran = {}
    with fault_cases.readable_process() as pid, faults.Server(shim, scratch) as server:
        cases = {case.name: case for case in fault_cases.cases(pid)}
        yield server, fault_cases.Folder(work), cases, ran
    if STORED:
        store(Path(STORED), ran)


def store(path, ran):
    revision = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    document = {
        "schema": SCHEMA,
        "command": f"PKSM_FAULTS={PER_FAULT} {f'PKSM_FAULTS_ONLY={ONLY} ' if ONLY else ''}pytest tests/faults",
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": revision.stdout.strip() or None,
        "machine": system.machine(),
        "runs": sum(row["runs"] for row in ran.values()),
        "faults": ran,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def schedule(calls, name):
    """Return the calls that go wrong, by number: chosen by chance, the same each time."""
    if PER_FAULT == "all":
        return range(1, calls + 1)
    most = max(1, int(PER_FAULT))
    return sorted(random.Random(name).sample(range(1, calls + 1), min(calls, most)))


@pytest.mark.parametrize("name", CASES)
def test_commands_run_where_nothing_goes_wrong(world, name):
    """A command that fails by itself proves nothing."""
    server, folder, cases, _ = world
    ran = server.run(cases[name].arguments, folder.path)
    assert (ran.code, fault_cases.fault_of(cases[name], ran, faults.NOTHING, folder)) == (0, ""), ran


@pytest.mark.parametrize("name", CASES)
def test_whatever_goes_wrong_is_one_line_and_leaves_nothing_half_done(world, name):
    server, folder, cases, rows = world
    case, wrong, counts = cases[name], [], {}
    for fault in FAULTS + SIGNALS:
        if PER_FAULT == "0" and zlib.crc32(f"{name} {fault.name}".encode()) % 3:
            continue  # a third of all pairs, for the time that it takes
        if ONLY and fault.name not in ONLY.split(","):
            continue
        if fault.kinds not in counts:
            counted = server.run(case.arguments, folder.path, Fault("count", fault.kinds, COUNT))
            fault_cases.fault_of(case, counted, faults.NOTHING, folder)
            counts[fault.kinds] = counted.calls
        row = rows.setdefault(fault.name, {"runs": 0, "commands": 0, "exit_codes": {}, "wrong": 0})
        codes = collections.Counter(row["exit_codes"])
        row["commands"] += bool(counts[fault.kinds])
        for n in schedule(counts[fault.kinds], f"{name} {fault.name}"):
            ran = server.run(case.arguments, folder.path, fault, n)
            codes[str(ran.code)] += 1
            row["runs"] += 1
            if said := fault_cases.fault_of(case, ran, fault, folder):
                wrong.append(f"{fault.name} {n}: {fault_cases.key_of(said, ran)}")
                row["wrong"] += 1
        row["exit_codes"] = dict(sorted(codes.items()))
    assert not wrong, "\n".join(wrong)


def test_the_oracle_sees_what_is_wrong(world):
    """One that never fails proves nothing."""
    _, folder, cases, _ = world
    fine = faults.Ran(0, "{}\n", "", 1, 1)
    case, nothing = cases["core"], faults.NOTHING

    def said(**changes):
        return fault_cases.fault_of(case, fine._replace(**changes), nothing, folder)

    assert said() == ""
    assert said(code=None) == "it hangs"
    assert said(code=-11) == "died of signal 11"
    assert said(code=1, out="", err="Traceback (most recent call last):\n") == "a traceback"
    assert said(code=4, out="", err="pksm: x\n") == "exit code 4"
    assert said(code=1, out="") == "no line for exit code 1"
    assert said(out="{\n") == "half a document"
    assert said(out="") == "exit code 0 and no result"
    assert said(err="what?\n") == "a line that is not ours"
    (folder.path / ".pksm-1").write_bytes(b"")
    assert said() == ".pksm-1 is new"
    (folder.path / "old.fp").write_bytes(b"")
    assert said() == "old.fp is half written"
    assert said() == ""


def test_faults_do_happen(world):
    server, folder, cases, _ = world
    for case, fault, code in [
        ("list", "ENOSPC-write", 1),
        ("features", "SIGTERM-at", 143),
        ("features", "SIGQUIT-at", 131),
        ("core", "EMFILE-open-on", 1),
    ]:
        one = next(one for one in FAULTS + SIGNALS if one.name == fault)
        ran = server.run(cases[case].arguments, folder.path, one)
        assert (ran.code, bool(ran.done), ran.out) == (code, True, ""), ran


# ---- interpreters of their own: while modules are loaded, and to the end ----

APART = """
import ctypes, sys
shim = ctypes.CDLL(None)
shim.inject_arm({kinds}, ctypes.c_long({n}), {action}, {argument}, {lasting})
from pksm.__main__ import main
sys.exit(main())
"""


def run_apart(shim, fault, n, arguments, folder, **options):
    measured_by_nobody = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    program = APART.format(**fault._replace(argument=int(fault.argument), lasting=int(fault.lasting))._asdict(), n=n)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**measured_by_nobody, "LD_PRELOAD": str(shim), "PYTHONPATH": os.fspath(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in (
    "EMFILE-open", "EIO-read", "ENOMEM-map-on", "EMFILE-open-on")], ids=lambda fault: fault.name)  # fmt: skip
def test_while_modules_are_loaded(shim, world, fault):
    _, folder, _, _ = world
    for n in sorted(random.Random(fault.name).sample(range(1, 600), 2 if PER_FAULT == "0" else 30)):
        done = run_apart(shim, fault, n, ["checksum", "list"], folder.path)
        assert "Traceback" not in done.stderr and done.returncode in (0, 1), (n, done)
        assert done.returncode == 0 or done.stderr.startswith("pksm: "), (n, done)


# ---- a disk that is full ----


@contextlib.contextmanager
def small_disk(folder, size):
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["keep", "plot"])
def test_a_disk_that_is_full_leaves_what_was_there(world, tmp_path, name):
    """At whatever byte it is full."""
    server, folder, cases, _ = world
    case = cases[name]
    with small_disk(tmp_path, "512k"):
        old, filler = tmp_path / case.output, tmp_path / "filler"
        before = (folder.path / case.output).read_bytes()
        old.write_bytes(before)
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(1 << 20))
        arguments = [
            os.fspath(folder.path / word) if (folder.path / word).is_file() else word for word in case.arguments
        ]
        arguments[case.arguments.index(case.output)] = case.output
        ran = server.run(arguments, tmp_path)
        assert ran.code == 1 and ran.err.startswith("pksm: ") and "No space left" in ran.err, ran
        assert not ran.out and old.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["filler", case.output]
        filler.unlink()
        assert server.run(arguments, tmp_path).code == 0 and old.read_bytes() != before
