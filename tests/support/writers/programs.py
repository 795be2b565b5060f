"""Images that programs make: the kernel's core of a process, gdb's, and all that QEMU writes of a guest."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path


class NotHere(Exception):
    """What can't be made on this machine, and why."""


def kernel_core(process, directory):
    """End a process with SIGABRT and return the path of the core that the kernel leaves in its directory."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "/" in pattern or pattern.startswith("|"):
        raise NotHere(f"kernel.core_pattern is {pattern!r}: cores are not written to the working directory")
    try:
        limit = resource.prlimit(process.pid, resource.RLIMIT_CORE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (limit, limit))
    except PermissionError as error:
        raise NotHere(f"RLIMIT_CORE cannot be set: {error}") from None
    if limit != resource.RLIM_INFINITY:
        raise NotHere(f"cores are limited to {limit} bytes")
    process.send_signal(signal.SIGABRT)
    process.wait()
    cores = list(Path(directory).glob("core*"))
    if not cores:
        raise NotHere("the kernel wrote no core")
    return cores[0]


def gcore(process, path):
    """Let gdb write the core of a process to `path`."""
    if not shutil.which("gdb"):
        raise NotHere("gdb is not installed")
    command = ["gdb", "-nx", "-batch", "-p", str(process.pid), "-ex", f"gcore {path}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if not os.path.exists(path):
        raise NotHere(f"gdb wrote no core: {done.stderr.strip()[-200:]}")


def guest_dumps(directory, ram):
    """Write `elf` and `kdump` (zlib, flattened) of a guest that never runs and whose memory is the file `ram`."""
    if not shutil.which("qemu-system-x86_64"):
        raise NotHere("qemu-system-x86_64 is not installed")
    size = os.path.getsize(ram)
    command = ["qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-m", str(size >> 20), "-accel", "tcg",
               "-object", f"memory-backend-file,id=ram,mem-path={ram},size={size},share=on",
               "-machine", "pc,memory-backend=ram", "-qmp", "unix:qmp,server=on,wait=off"]  # fmt: skip
    process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with socket.socket(socket.AF_UNIX) as talk:
            connect(talk, directory, "qmp", process)
            with talk.makefile("rw") as lines:
                lines.readline()
                qmp(lines, "qmp_capabilities")
                for name, form in (("elf", {}), ("kdump", {"format": "kdump-zlib"})):
                    target = f"file:{Path(directory) / name}"
                    qmp(lines, "dump-guest-memory", paging=False, protocol=target, **form)
    finally:
        process.kill()
        process.communicate()


def connect(talk, directory, name, process):
    """Connect to the socket `name` that a process makes in a directory, whose path may be too long for a socket's."""
    with open_directory(directory) as fd:
        for _ in range(400):
            try:
                return talk.connect(f"/proc/self/fd/{fd}/{name}")
            except OSError:
                if process.poll() is not None:
                    raise NotHere(f"{process.args[0]} does not start") from None
                time.sleep(0.05)
    raise NotHere(f"{process.args[0]} does not answer")


@contextlib.contextmanager
def open_directory(path):
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def qmp(lines, name, **arguments):
    """Let QEMU do something; lines: of a QMP socket."""
    lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    lines.flush()
    while True:
        answer = json.loads(lines.readline())
        if "error" in answer:
            raise NotHere(f"QEMU: {name}: {answer['error']}")
        if "return" in answer:
            return
