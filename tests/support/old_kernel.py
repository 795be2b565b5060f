"""Tests that run in a guest under another kernel, without KVM: the initramfs holds this Python, pksm and the tests."""

import glob
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import pksm

KERNEL = next(iter(sorted(glob.glob("/boot/vmlinuz-6.1.*"))), "")
QEMU = shutil.which("qemu-system-x86_64")
PACKAGES = ("numpy", "numpy.libs", "_pytest", "pytest", "pluggy", "iniconfig", "packaging", "pygments")
LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "tkinter", "ensurepip", "site-packages", "pydoc_data",
            "turtledemo", "f2py", "include"}  # fmt: skip
TESTS = Path(__file__).parent.parent
PATIENCE_S = 300
INIT = """#!{python} -IBS
import ctypes, os, subprocess, time
mount = ctypes.CDLL(None, use_errno=True).mount
for kind, place in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")]:
    os.makedirs(place, exist_ok=True)
    mount(kind.encode(), place.encode(), kind.encode(), 0, None)
os.makedirs("/tmp", exist_ok=True)
console = os.open("/dev/console", os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(console, fd)
os.environ.update({{"PYTHONPATH": {path!r}, "PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1"}})
print("guest:", os.uname().release, flush=True)
for command in {commands!r}:
    print("guest: runs", *command[1:], flush=True)
    print("guest: exit", subprocess.call(command, stdin=subprocess.DEVNULL), flush=True)
with open("/proc/sysrq-trigger", "w") as file:
    file.write("o")
while True:
    time.sleep(1)
"""


def why_not():
    """Return why no such guest can be run here; "" if one can."""
    if QEMU is None:
        return "qemu-system-x86_64: not installed"
    if not KERNEL or not os.access(KERNEL, os.R_OK):
        return "there is no /boot/vmlinuz-6.1.* that can be read"
    return ""


class _Archive:
    """A cpio archive of files under the names that they have here."""

    def __init__(self, path):
        self._file, self._number, self._names = open(path, "wb"), 0, set()
        self.extensions = []

    def add(self, name, mode, data=b"", time=0):
        if name in self._names:
            return
        self._names.add(name)
        folder = os.path.dirname(name)
        if folder and folder != "/":
            self.add(folder, stat.S_IFDIR | 0o755)
        self._entry(name.lstrip("/"), mode, data, time)

    def _entry(self, name, mode, data, time=0):
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, time, len(data), 0, 0, 0, 0, len(encoded), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._file.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def copy(self, path):
        """Add a file, a link with what it leads to, or a folder with what is in it."""
        path = str(path)
        if os.path.islink(path):
            target = os.readlink(path)
            self.add(path, stat.S_IFLNK | 0o777, target.encode())
            self.copy(os.path.join(os.path.dirname(path), target))
        elif os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                if name not in LEFT_OUT and not name.endswith((".a", ".nbc", ".nbi")):
                    self.copy(os.path.join(path, name))
        else:
            time = int(os.path.getmtime(path))  # by which Python knows what it has compiled
            self.add(path, stat.S_IFREG | 0o755, Path(path).read_bytes(), time)
            self.extensions += [path] if path.endswith(".so") else []

    def close(self):
        self._entry("TRAILER!!!", 0, b"")
        self._file.close()


def _libraries(paths):
    """Return the shared libraries that programs and libraries need, and the loader."""
    done = subprocess.run(["ldd", *paths], capture_output=True, text=True)
    return sorted(set(re.findall(r"(/\S+) \(0x", done.stdout)))


def build(folder, commands):
    """Write the initramfs; return its path."""
    path = Path(folder) / "initramfs"
    archive = _Archive(path)
    python = os.path.realpath(sys.executable)
    standard, site = Path(sysconfig.get_path("stdlib")), Path(pytest.__file__).parent.parent
    backend = next(iter(site.glob("_cffi_backend*.so")))
    parts = [python, standard, backend, TESTS / "support", TESTS / "recording", Path(pksm.__file__).parent]
    parts += [site / name for name in PACKAGES if (site / name).exists()]
    parts += [*site.glob("py.py"), *site.glob("pluggy-*.dist-info")]
    for part in parts:
        archive.copy(part)
    programs = [os.path.realpath(shutil.which(name)) for name in ("cat", "sleep")]
    for program in programs:
        archive.copy(program)
    for link in filter(os.path.islink, ("/bin", "/lib", "/lib64")):
        archive.add(link, stat.S_IFLNK | 0o777, os.readlink(link).encode())
    for library in _libraries([python, *programs, *archive.extensions]):
        archive.copy(os.path.join(os.path.realpath(os.path.dirname(library)), os.path.basename(library)))
    root = Path(pksm.__file__).parent.parent
    search = os.pathsep.join(map(str, (standard, sysconfig.get_path("platstdlib"), site, TESTS, root)))
    script = INIT.format(python=python, path=search, commands=[[python, "-B", *command] for command in commands])
    archive.add("/init", stat.S_IFREG | 0o755, script.encode())
    archive.close()
    return path


def run(folder, commands):
    """Run commands of Python in a guest, one after the other; return what its console shows."""
    machine = [
        "-machine",
        "pc,accel=tcg",
        "-m",
        "1024",
        "-smp",
        "2",
        "-cpu",
        "max",
        "-nographic",
        "-nodefaults",
        "-no-reboot",
    ]
    log = Path(folder) / "console"
    console = ["-serial", f"file:{log}", "-monitor", "none"]
    boot = [
        "-kernel",
        KERNEL,
        "-initrd",
        str(build(folder, commands)),
        "-append",
        "console=ttyS0 quiet panic=-1 random.trust_cpu=on",
    ]
    with subprocess.Popen([QEMU, *machine, *console, *boot], stdin=subprocess.DEVNULL) as guest:
        try:
            guest.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            guest.kill()
    return log.read_text(errors="replace")
