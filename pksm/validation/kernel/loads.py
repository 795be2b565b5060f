"""Real programs at work, all of whose memory is opted in: context managers that give the process ids to record."""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NamedTuple

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import isolated
from pksm.validation.kernel import serving
from pksm.validation.kernel.programs import START_SECONDS, installed, opted_in, redis_server, wait_for

KEYS, VALUE_BYTES = 40_000, 512
N_GUESTS, GUEST_MIB = 3, 128


@contextmanager
def fork_server() -> Iterator[list[int]]:
    """A Python fork server, whose workers answer 25 requests per second each and are replaced every 10 to 20 s."""
    with opted_in(isolated.command(serving.__file__)) as process:
        assert process.stdout  # a pipe
        process.stdout.readline()
        try:
            yield [process.pid]
        finally:
            assert process.stdin  # a pipe, whose end is that of the workers
            process.stdin.close()
            process.stdin = None  # which communicate would flush
            process.wait(START_SECONDS)


@contextmanager
def redis() -> Iterator[list[int]]:
    """Two redis servers with the same keys, each under 500 requests of redis-benchmark every half a second."""
    client = installed("redis-benchmark")
    with ExitStack() as stack:
        pids = []
        for _ in range(2):
            pid, path = stack.enter_context(redis_server())
            pids.append(pid)
            keys = [client, "-s", path, "-q", "-r", str(KEYS), "-d", str(VALUE_BYTES)]
            _complete([*keys, "-n", str(4 * KEYS), "-P", "32", "-t", "set"])
            asked = [*keys, "-n", "500", "-c", "4", "-t", "set,get"]
            stack.enter_context(_repeated(asked, 0.5))
        yield pids


@contextmanager
def postgres() -> Iterator[list[int]]:
    """A PostgreSQL server under pgbench: eight connections, 80 transactions per second."""
    bench = installed("pgbench")
    places = [*sorted(glob.glob("/usr/lib/postgresql/*/bin")), os.environ.get("PATH", "")]
    server, initdb = (installed(name, ":".join(places)) for name in ("postgres", "initdb"))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        data = os.path.join(folder, "data")
        user = None
        if os.geteuid() == 0:  # which the server refuses
            user = _other_user()
            shutil.chown(folder, user)
        _complete([initdb, "-D", data, "-A", "trust", "-U", "bench", "--no-sync"], folder, user)
        command = [server, "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        process = stack.enter_context(opted_in(command, user=user))
        wait_for(os.path.join(folder, ".s.PGSQL.5432"), "postgres")
        ask = [bench, "-h", folder, "-U", "bench", "postgres"]
        _complete([*ask, "-i", "-s", "4", "-q"], folder, user)
        stack.enter_context(_running([*ask, "-c", "8", "-j", "1", "-R", "80", "-T", "100000"], folder))
        stack.callback(process.wait, START_SECONDS)
        stack.callback(process.send_signal, signal.SIGQUIT)
        yield [process.pid]


@contextmanager
def guests() -> Iterator[list[int]]:
    """Three QEMU guests that begin to boot this machine's kernel, without a disk.

    They emulate, and would leave no CPU to ksmd and the recorder: they take what is left.
    """
    qemu, nice = installed("qemu-system-x86_64"), installed("nice")
    kernels = [path for path in sorted(glob.glob("/boot/vmlinuz-*")) if os.path.getsize(path)]
    if not kernels:
        raise UnsupportedError("/boot/vmlinuz-*: there is no kernel to boot guests with")
    kernel = kernels[-1]
    initrd = kernel.replace("vmlinuz", "initrd.img")
    command = [nice, "-n", "19", qemu, "-m", str(GUEST_MIB), "-accel", "tcg,tb-size=32", "-kernel", kernel, "-display", "none", "-nodefaults",
               "-no-reboot", "-serial", "null", "-append", "console=ttyS0 quiet"]  # fmt: skip
    if os.path.exists(initrd):
        command += ["-initrd", initrd]
    with ExitStack() as stack:
        yield [stack.enter_context(opted_in(command)).pid for _ in range(N_GUESTS)]


class Load(NamedTuple):
    """A program at work. settings: of the ksmd that is to merge its memory."""

    text: str
    start: Callable[[], AbstractContextManager[list[int]]]
    settings: Mapping[str, int]


DEFAULTS = {"pages_to_scan": 100, "sleep_millisecs": 20, "smart_scan": 1, "use_zero_pages": 0}  # the kernel's
LOADS: Mapping[str, Load] = {
    "redis": Load("two redis servers under redis-benchmark", redis, DEFAULTS),
    "postgres": Load("PostgreSQL under pgbench", postgres, DEFAULTS),
    "fork-server": Load("a Python fork server that answers requests", fork_server, DEFAULTS),
    "guests": Load("three QEMU guests that boot", guests, DEFAULTS | {"pages_to_scan": 1000}),
}


def _other_user() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise UnsupportedError("postgres: refuses to run as root, and there is no user postgres or nobody")


def _complete(command: Sequence[str], folder: str | None = None, user: str | None = None) -> None:
    """Run a program to its end. PksmError if it fails."""
    nowhere = subprocess.DEVNULL
    code = subprocess.run(command, cwd=folder, user=user, stdout=nowhere, stderr=nowhere).returncode
    if code:
        raise PksmError(f"{os.path.basename(command[0])}: failed with exit code {code}")


@contextmanager
def _running(command: Sequence[str], folder: str | None = None) -> Iterator[None]:
    """Run a program that is not recorded."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def _repeated(command: Sequence[str], pause_s: float) -> AbstractContextManager[None]:
    again = "import subprocess, sys, time\nwhile True:\n subprocess.run(sys.argv[2:], stdout=-3); time.sleep(float(sys.argv[1]))"
    return _running([sys.executable, "-I", "-c", again, str(pause_s), *command])
