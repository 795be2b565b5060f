"""Real programs whose whole memory is opted in, standing still."""

import ctypes
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import isolated
from pksm.linux.proc import tasks
from pksm.validation.kernel import forks, interpreter

_PERL = (
    "$| = 1; $ENV{PERL_HASH_SEED} = 0; my @t = map { $_ % 8 ? 'entry ' x ($_ % 97) : rand() . $ARGV[0] } 1 .. 60000; "
    "print qq(\\n); <STDIN>"
)
_BOOTED = b"end Kernel panic"  # it has no root to mount, and halts with all that it set up
_BOOT_SECONDS = 240
START_SECONDS = 30.0
_PR_SET_PDEATHSIG, _PR_SET_THP_DISABLE, _PR_SET_MEMORY_MERGE = 1, 41, 67


@contextmanager
def interpreters(n: int = 3) -> Iterator[list[int]]:
    """n interpreters with some modules and strings, standing still: their process ids."""
    with ExitStack() as stack:
        started = [stack.enter_context(opted_in(isolated.command(interpreter.__file__))) for _ in range(n)]
        for process in started:
            assert process.stdout  # a pipe
            process.stdout.readline()
        yield _stopped([process.pid for process in started])


@contextmanager
def python_forks(n: int = 3) -> Iterator[list[int]]:
    """An interpreter and n children that it forked, which have written to a part of their memory: their process ids."""
    with opted_in(isolated.command(forks.__file__, str(n))) as process:
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
    perl = installed("perl")
    with ExitStack() as stack:
        started = [stack.enter_context(opted_in([perl, "-e", _PERL, str(number)])) for number in range(n)]
        for process in started:
            assert process.stdout  # a pipe
            process.stdout.readline()
        yield _stopped([process.pid for process in started])


@contextmanager
def redis_servers(n: int = 2) -> Iterator[list[int]]:
    """n redis servers, empty, standing still: their process ids. UnsupportedError where redis-server is missing."""
    with ExitStack() as stack:
        yield _stopped([stack.enter_context(redis_server())[0] for _ in range(n)])


@contextmanager
def redis_server() -> Iterator[tuple[int, str]]:
    """A redis server, empty: its process id, and the path of its socket. UnsupportedError where redis-server is missing."""
    server = installed("redis-server")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")
        with opted_in([server, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]) as process:
            wait_for(path, "redis-server")
            yield process.pid, path


@contextmanager
def qemu_guests(n: int = 2) -> Iterator[list[int]]:
    """n guests of 96 MiB that have booted the newest kernel of /boot, without KVM: the process ids of their QEMUs.

    They have no huge pages: where ksmd splits one, Linux drops its zero pages at once, and no counter of KSM has them.

    UnsupportedError where QEMU is missing, or a kernel that can be read.
    """
    with ExitStack() as stack:
        consoles, pids = [], []
        for _ in range(n):
            console = stack.enter_context(tempfile.NamedTemporaryFile()).name
            pids.append(stack.enter_context(opted_in(guest_command(console), huge_pages=False)).pid)
            consoles.append(console)
        for console in consoles:
            wait_until_booted(console)
        yield _stopped(pids)


def guest_command(console: str) -> list[str]:
    """Return what starts a guest of 96 MiB that boots the newest kernel of /boot, without KVM. console: what it prints to.

    UnsupportedError where QEMU is missing, or a kernel that can be read.
    """
    qemu = installed("qemu-system-x86_64")
    kernels = [path for path in glob.glob("/boot/vmlinuz-*") if os.access(path, os.R_OK)]
    if not kernels:
        raise UnsupportedError("qemu-system-x86_64: there is no /boot/vmlinuz-* that can be read, to boot it")
    newest = max(kernels, key=os.path.getmtime)
    machine = ["-machine", "pc,accel=tcg", "-m", "96", "-display", "none", "-nodefaults"]
    return [qemu, *machine, "-kernel", newest, "-append", "console=ttyS0", "-serial", f"file:{console}"]


def wait_until_booted(console: str) -> None:
    """Wait until a guest has halted with all that its kernel set up. PksmError if it does not."""
    _wait(lambda: _holds(console, _BOOTED), _BOOT_SECONDS, "a guest did not boot")


def installed(name: str, places: str | None = None) -> str:
    """Return the path of a program. places: where to look, as PATH has them. UnsupportedError where it is missing."""
    found = shutil.which(name, path=places)
    if found is None:
        raise UnsupportedError(f"{name}: not installed")
    return found


def wait_for(path: str, name: str) -> None:
    """Wait until a program has made a file, such as its socket. PksmError if it does not."""
    _wait(lambda: os.path.exists(path), START_SECONDS, f"{name}: did not start")


def _holds(path: str, wanted: bytes) -> bool:
    with open(path, "rb") as file:
        return wanted in file.read()


def _wait(happened: Callable[[], bool], seconds: float, failure: str) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise PksmError(f"{failure} within {seconds:g} s")
        time.sleep(0.01)


@contextmanager
def opted_in(
    command: Sequence[str], huge_pages: bool = True, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program all of whose memory may be merged, and end it. user: who runs it; None: we."""
    prctl = ctypes.CDLL(None).prctl

    def opt_in() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a stopped one would not see its input end
        prctl(_PR_SET_THP_DISABLE, not huge_pages, 0, 0, 0)
        prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0)

    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=opt_in,
        user=user,
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
