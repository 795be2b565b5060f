"""A reader plug-in that tries to get out: each attempt fails with an error, or it has succeeded.

A file says what is tried and when: b"ESCAPE sniff write", b"ESCAPE open_file exec", b"ESCAPE regions connect".
"""

import ctypes
import mmap
import os
import platform
import signal
import socket
import stat
import subprocess
import threading

import numpy as np

from pksm import sources
from pksm.extents import State, make_runs

MAGIC = b"ESCAPE "
TRACE = "PKSM_TEST_TRACE"  # the environment variable that names a file: to be written, run and removed
LIBRARY = ctypes.CDLL(None, use_errno=True)
COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)


def called(*numbers_and_arguments):
    """Make a system call by its number on this architecture; raise OSError if it is refused."""
    numbers, *arguments = numbers_and_arguments
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    if LIBRARY.syscall(ctypes.c_long(numbers[COLUMN]), *words) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write():
    with open(os.environ[TRACE], "w", encoding="ascii") as file:
        file.write("out")


def fork():
    if os.fork() == 0:
        os._exit(0)


def run_new_code():
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.close()


def make_code():
    memory = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    called((10, 226), address, 4096, 5)  # mprotect, PROT_READ | PROT_EXEC


def connect():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.connect(("127.0.0.1", 9))


def connect_locally():
    with socket.socket(socket.AF_UNIX) as end:
        end.connect("/dev/log")


def other_descriptors():
    """Succeed if any descriptor leads elsewhere than to the file that is read, nowhere, or to who reads it."""
    allowed = os.stat(os.environ[TRACE] + ".image"), os.stat(os.devnull)
    for fd in range(1024):
        try:
            found = os.fstat(fd)
        except OSError:
            continue
        known = any((one.st_dev, one.st_ino) == (found.st_dev, found.st_ino) for one in allowed)
        if not known and not stat.S_ISSOCK(found.st_mode):
            return
    raise PermissionError("no other descriptors")


def thread():
    one = threading.Thread(target=int)
    try:
        one.start()
    except RuntimeError as error:
        raise PermissionError(str(error)) from None


ATTEMPTS = {
    "write": write,
    "append": lambda: open(os.environ[TRACE] + ".image", "ab"),
    "truncate": lambda: os.truncate(os.environ[TRACE] + ".image", 0),
    "unlink": lambda: os.unlink(os.environ[TRACE] + ".image"),
    "rename": lambda: os.rename(os.environ[TRACE] + ".image", os.environ[TRACE]),
    "symlink": lambda: os.symlink("/etc/shadow", os.environ[TRACE]),
    "chmod": lambda: os.chmod(os.environ[TRACE] + ".image", 0o777),
    "mkdir": lambda: os.mkdir(os.environ[TRACE]),
    "shadow": lambda: open("/etc/shadow", "rb").read(1),
    "passwd": lambda: open("/etc/passwd", "rb").read(1),
    "list": lambda: os.listdir("/"),
    "chdir": lambda: os.chdir("/"),
    "memory of parent": lambda: open(f"/proc/{os.getppid()}/mem", "rb"),
    "exec": lambda: os.execv("/bin/touch", ["touch", os.environ[TRACE]]),
    "command": lambda: subprocess.run(["touch", os.environ[TRACE]], check=True),
    "spawn": lambda: os.posix_spawn("/bin/touch", ["touch", os.environ[TRACE]], {}),
    "fork": fork,
    "thread": thread,
    "new code": run_new_code,
    "make code": make_code,
    "connect": connect,
    "connect locally": connect_locally,
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "socketpair": socket.socketpair,
    "other descriptors": other_descriptors,
    "kill parent": lambda: os.kill(os.getppid(), signal.SIGTERM),
    "signal parent's thread": lambda: called((234, 131), os.getppid(), os.getppid(), 15),
    "stop itself": lambda: called((234, 131), os.getpid(), threading.get_native_id(), signal.SIGSTOP),
    "pidfd": lambda: os.pidfd_open(os.getppid()),
    "ptrace": lambda: called((101, 117), 16, os.getppid(), None, None),
    "be traced": lambda: called((101, 117), 0, 0, None, None),
    "process_vm_readv": lambda: called((310, 270), os.getppid(), None, 0, None, 0, 0),
    "memfd": lambda: os.memfd_create("code"),
    "mount": lambda: called((165, 40), b"none", b"/mnt", b"tmpfs", 0, None),
    "unshare": lambda: called((272, 97), 0x10000000),
    "setuid": lambda: os.setuid(os.getuid()),
    "capset": lambda: called((126, 91), None, None),
    "prctl": lambda: called((157, 167), 4, 1, 0, 0, 0),
    "bpf": lambda: called((321, 280), 0, None, 0),
    "io_uring": lambda: called((425, 425), 1, ctypes.create_string_buffer(256)),
    "userfaultfd": lambda: called((323, 282), 0),
    "keyctl": lambda: called((250, 219), 0, -3, 0, 0, 0),
    "perf": lambda: called((298, 241), ctypes.create_string_buffer(128), 0, -1, -1, 0),
    "ioctl": lambda: called((16, 29), 0, 0x5412, b"x"),
    "signals of descriptors": lambda: called((72, 25), 0, 8, os.getppid()),  # fcntl, F_SETOWN
    "limits": lambda: called((302, 261), os.getppid(), 7, None, ctypes.create_string_buffer(16)),
    "pipe": os.pipe,
}
ENDINGS = {
    "SIGSEGV": lambda: ctypes.string_at(8),
    "SIGABRT": os.abort,
    "exit code 9": lambda: os._exit(9),
}


def attempt(file, when):
    planned, _, name = file.head.removeprefix(MAGIC).split(b"\0")[0].decode().partition(" ")
    if planned == when:
        (ATTEMPTS | ENDINGS)[name]()


def sniff(file):
    if not file.head.startswith(MAGIC):
        return False
    attempt(file, "sniff")
    return True


def open_file(file):
    attempt(file, "open_file")
    return Escape(file.path, file)


class Escape(sources.Source):
    kind = "escaped"

    def regions(self, page_size, allocate, progress):
        self.mappings = [sources.Mapping("all", 0, page_size)]
        copies = allocate(1)
        copies.array[:] = 7
        attempt(self.file, "regions")
        yield sources.Region(make_runs([State.DATA], 0, 0, np.array([1])), copies=copies)
