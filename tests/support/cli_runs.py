"""Running the command line: in this process, or in one of its own."""

import ctypes
import json
import os
import pty
import subprocess
import sys
from typing import NamedTuple

import pytest

from pksm.cli.main import main

from support import ROOT


class Done(NamedTuple):
    code: int
    out: str
    err: str


def run(capfd, *arguments):
    """Run main() here; capfd is pytest's fixture."""
    capfd.readouterr()
    code = main([os.fsdecode(argument) for argument in arguments])
    return Done(code, *capfd.readouterr())


def command(*arguments):
    """The argv that starts the command line of this checkout."""
    return [sys.executable, "-m", "pksm", *map(os.fsdecode, arguments)]


def environment(**more):
    return {**os.environ, "PYTHONPATH": os.fspath(ROOT), **more}


def start(*arguments, **options):
    """Start a process of its own; stdout and stderr are pipes of text."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    return subprocess.Popen(command(*arguments), text=True, env=environment(), **options)


def run_apart(*arguments, **options):
    """Run a process of its own to its end."""
    with start(*arguments, **options) as process:
        out, err = process.communicate(timeout=120)
    return Done(process.returncode, out or "", err or "")


def document_apart(*arguments):
    """Return the document that a process of its own prints; skips the test where memory of others can't be read."""
    done = run_apart(*map(str, arguments), "--json")
    if "permission denied" in done.err or "not permitted" in done.err:
        pytest.skip("memory of other processes can't be read here")
    assert done.code == 0, done.err
    return json.loads(done.out)


def on_terminal(argv, code=0, **variables):
    """Run with stdout and stderr on a terminal; return what it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment(TERM="xterm", **variables)
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert process.returncode == code, shown
    return shown.decode()


def is_one_line(text, *words):
    """Assert that text is one line of ours with these words in it."""
    assert text.startswith("pksm: ") and text.count("\n") == 1 and text.endswith("\n"), text
    for word in words:
        assert word in text, text
    return True


def as_nobody(work):
    """Call work() in a forked process that has given up root and return what it returned.

    All modules have to be loaded before: nobody may not be allowed to read their files.
    """
    prctl = ctypes.CDLL(None).prctl
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            prctl(4, 1)  # PR_SET_DUMPABLE: who has given up root may not be looked at by others
            os.write(writer, json.dumps(work()).encode())
        except BaseException as error:
            os.write(writer, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said)
