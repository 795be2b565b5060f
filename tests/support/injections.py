"""Calls injected into a process of tests/support/injected.c, by an injector that is killed at some step."""

import itertools
import mmap
import os
import signal
import subprocess
import time
from pathlib import Path

from pksm.linux.inject import inject

SOURCE = Path(__file__).parent / "injected.c"
MODES = ("compute", "sleep", "signals", "threads", "vfork", "exec")
GETPID, PRCTL, MERGE = 39, 157, 67
CALLS = [(GETPID,), (PRCTL, MERGE, 1, 0, 0, 0), (GETPID,)]
PATIENCE_S = 20


def build(folder):
    """Compile the program; return its path."""
    program = Path(folder) / "injected"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", SOURCE, "-o", program], check=True)
    return program


class Target:
    """The program in one of its modes, while the context lasts."""

    def __init__(self, program, mode, folder):
        self.rounds = Path(folder) / f"rounds-{mode}"
        self.rounds.write_bytes(bytes(8))
        self.command = [program, mode, self.rounds]

    def __enter__(self):
        self.process = subprocess.Popen(self.command)
        with self.rounds.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 8)
        self.goes_on()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.shared.close()

    @property
    def pid(self):
        return self.process.pid

    def goes_on(self):
        """Wait until it has finished two more rounds; fail if it ends, or never does."""
        before, until = self.count(), time.monotonic() + PATIENCE_S
        while self.count() < before + 2:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            assert time.monotonic() < until, "it stands still"
            time.sleep(1e-3)

    def count(self):
        return int.from_bytes(self.shared[:8], "little")


def kill_at(pid, n, work=lambda pid, at_step: inject(pid, CALLS, at_step)):
    """Inject in another process that is killed before its n-th step; return that step's name, None if it had fewer.

    work: what it does instead, with a function that it calls before each step.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        steps = itertools.count()

        def at_step(name):
            if next(steps) == n:
                os.write(writer, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            work(pid, at_step)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        name = file.read().decode()
    os.waitpid(child, 0)
    return name or None
