"""Real programs whose whole memory is opted in, standing still."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import isolated
from pksm.linux.proc import tasks
from pksm.validation.kernel import forks, interpreter

_PERL = (
    "$| = 1; $ENV{PERL_HASH_SEED} = 0; my @t = map { $_ % 8 ? 'entry ' x ($_ % 97) : rand() . $ARGV[0] } 1 .. 60000; "
    "print qq(\\n); <STDIN>"
)
_PR_SET_PDEATHSIG, _PR_SET_MEMORY_MERGE = 1, 67


@contextmanager
def interpreters(n: int = 3) -> Iterator[list[int]]:
    """n interpreters with some modules and strings, standing still: their process ids."""
    with ExitStack() as stack:
        started = [stack.enter_context(_opted_in(isolated.command(interpreter.__file__))) for _ in range(n)]
        for process in started:
            assert process.stdout  # a pipe
            process.stdout.readline()
        yield _stopped([process.pid for process in started])


@contextmanager
def python_forks(n: int = 3) -> Iterator[list[int]]:
    """An interpreter and n children that it forked, which have written to a part of their memory: their process ids."""
    with _opted_in(isolated.command(forks.__file__, str(n))) as process:
        assert process.stdout  # a pipe
        pids = [int(word) for word in process.stdout.readline().split()]
        try:
            yield _stopped(pids)
        finally:
            for pid in pids[1:]:
                os.kill(pid, signal.SIGKILL)


@contextmanager
def perls(n: int = 2) -> Iterator[list[int]]:
    """n perls with equal tables, one entry of eight their own, standing still. UnsupportedError where perl is missing."""
    perl = shutil.which("perl")
    if perl is None:
        raise UnsupportedError("perl: not installed")
    with ExitStack() as stack:
        started = [stack.enter_context(_opted_in([perl, "-e", _PERL, str(number)])) for number in range(n)]
        for process in started:
            assert process.stdout  # a pipe
            process.stdout.readline()
        yield _stopped([process.pid for process in started])


@contextmanager
def redis_servers(n: int = 2) -> Iterator[list[int]]:
    """n redis servers, empty, standing still: their process ids. UnsupportedError where redis-server is missing."""
    server = shutil.which("redis-server")
    if server is None:
        raise UnsupportedError("redis-server: not installed")
    with ExitStack() as stack:
        pids = []
        for _ in range(n):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = os.path.join(folder, "socket")
            command = [server, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
            pids.append(stack.enter_context(_opted_in(command)).pid)
            end = time.monotonic() + 20
            while not os.path.exists(path):
                if time.monotonic() > end:
                    raise PksmError("redis-server: did not start within 20 s")
                time.sleep(0.01)
        yield _stopped(pids)


@contextmanager
def _opted_in(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program all of whose memory may be merged, and end it."""
    prctl = ctypes.CDLL(None).prctl

    def opt_in() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a stopped one would not see its input end
        prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0)

    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=opt_in
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _stopped(pids: list[int]) -> list[int]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
        while not tasks.stand_still(pid):
            time.sleep(0.001)
    return pids
