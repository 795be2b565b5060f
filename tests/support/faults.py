"""Faults at the n-th call: whole commands are run with them in processes of their own. See inject.c."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from support import ROOT

SHIM_SOURCE = Path(__file__).with_name("inject.c")
ALLOC, MAP, READ, WRITE, OPEN, START = 1, 2, 4, 8, 16, 32
COUNT, FAIL, SHORT, END, SIGNAL = range(5)
RUN_SECONDS = 60


class Fault(NamedTuple):
    """What goes wrong. kinds: of calls; argument: an errno or a signal; lasting: the n-th call and all after it."""

    name: str
    kinds: int
    action: int
    argument: int = 0
    lasting: bool = False


NOTHING = Fault("nothing", 0, COUNT)
FAULTS = [
    Fault("ENOMEM-alloc", ALLOC, FAIL, errno.ENOMEM),
    Fault("ENOMEM-map", MAP, FAIL, errno.ENOMEM),
    Fault("ENOMEM-map-on", MAP, FAIL, errno.ENOMEM, True),
    Fault("EIO-read", READ, FAIL, errno.EIO),
    Fault("EIO-read-on", READ, FAIL, errno.EIO, True),
    Fault("EINTR-read", READ, FAIL, errno.EINTR),
    Fault("short-read", READ, SHORT),
    Fault("short-read-on", READ, SHORT, 0, True),
    Fault("end-read", READ, END),
    Fault("ENOSPC-write", WRITE, FAIL, errno.ENOSPC),
    Fault("ENOSPC-write-on", WRITE, FAIL, errno.ENOSPC, True),
    Fault("EIO-write", WRITE, FAIL, errno.EIO),
    Fault("EINTR-write", WRITE, FAIL, errno.EINTR),
    Fault("short-write-on", WRITE, SHORT, 0, True),
    Fault("EMFILE-open", OPEN, FAIL, errno.EMFILE),
    Fault("EMFILE-open-on", OPEN, FAIL, errno.EMFILE, True),
    Fault("EACCES-open", OPEN, FAIL, errno.EACCES),
    Fault("EAGAIN-start", START, FAIL, errno.EAGAIN),
    Fault("EAGAIN-start-on", START, FAIL, errno.EAGAIN, True),
]
SIGNALS = [
    Fault(f"{number.name}-at", READ | WRITE | OPEN | MAP, SIGNAL, number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
]


class Ran(NamedTuple):
    """What became of a run. code: negative for a signal, None if it hung. done: how many calls went wrong."""

    code: int | None
    out: str
    err: str
    calls: int
    done: int


def build_shim(folder: Path) -> Path | None:
    """Compile the shim and return its path; None without a compiler or a C library that can be preloaded."""
    shim = folder / "inject.so"
    command = [os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    try:
        done = subprocess.run([*command, "-o", shim, SHIM_SOURCE], capture_output=True, text=True, check=False)
    except OSError:
        return None
    assert done.returncode == 0, done.stderr
    return shim


class Server:
    """Runs commands with faults; a context manager. scratch: a folder of its own."""

    def __init__(self, shim: Path, scratch: Path) -> None:
        self._shim, self._scratch = shim, scratch

    def __enter__(self) -> "Server":
        places = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        self._server = subprocess.Popen(
            [sys.executable, "-m", "support.fault_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(self._shim), "PYTHONPATH": places},
            cwd=self._scratch,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def run(self, arguments: list[str], folder: Path, fault: Fault = NOTHING, n: int = 1) -> Ran:
        """Run `pksm ARGUMENTS` in a folder; its n-th call of the fault's kinds goes wrong."""
        out, err = self._scratch / "out", self._scratch / "err"
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
            "fault": [fault.kinds, n, fault.action, int(fault.argument), int(fault.lasting)],
            "seconds": RUN_SECONDS,
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        said = [path.read_text(encoding="utf-8", errors="backslashreplace") for path in (out, err)]
        return Ran(answer["code"], *said, answer["calls"], answer["done"])
