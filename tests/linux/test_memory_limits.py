"""How much memory may still be used: the least of all that limit it, whatever is missing."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.linux.proc import processes

MIB = 1 << 20


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A made-up machine: returns a function that writes its files, {name: text}; nothing is there before."""
    monkeypatch.setattr(memory_limits, "MEMINFO", str(tmp_path / "meminfo"))
    monkeypatch.setattr(memory_limits, "CGROUP1_MOUNT", str(tmp_path / "v1"))
    monkeypatch.setattr(processes, "CGROUP_MOUNTS", (str(tmp_path / "v2"), str(tmp_path / "v2" / "unified")))
    monkeypatch.setattr(processes, "own_cgroups", lambda: {"": "/a/b", "memory,cpu": "/docker/x", "pids": "/"})
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


MEMINFO = {"meminfo": f"MemTotal: 9000 kB\nMemAvailable:   {800 * 1024} kB\n"}


def group(path, limit, use, cache=0):
    return {
        f"{path}/memory.max": f"{limit}\n", f"{path}/memory.current": f"{use}\n",
        f"{path}/memory.stat": f"anon 5\ninactive_file {cache}\n",
    }  # fmt: skip


def test_nothing_known_limits_nothing(tree):
    assert memory_limits.available_bytes() is None
    memory_limits.require(1 << 60)


def test_the_machine_s(tree):
    tree(MEMINFO)
    assert memory_limits.available_bytes() == 800 * MIB
    memory_limits.require(800 * MIB)
    with pytest.raises(PksmError, match="^801 MiB of memory are needed and 800 MiB available: eat less$"):
        memory_limits.require(801 * MIB, "eat less")


@pytest.mark.parametrize("damaged", ["", "MemAvailable\n", "MemAvailable: x kB\n", "MemAvailable: 12\n", "\0\xff"])
def test_a_meminfo_without_it_says_nothing(tree, damaged):
    tree({"meminfo": damaged})
    assert memory_limits.available_bytes() is None


@pytest.mark.parametrize("at", ["v2/a/b", "v2/a", "v2", "v2/unified/a/b", "v2/unified"])
def test_any_control_group_above_us(tree, at):
    tree(MEMINFO | group(at, 300 * MIB, 100 * MIB))
    assert memory_limits.available_bytes() == 200 * MIB
    tree(group(at, 300 * MIB, 100 * MIB, cache=50 * MIB))
    assert memory_limits.available_bytes() == 250 * MIB, "it gives its cache up"
    assert memory_limits.available_bytes(enough=MIB) == 200 * MIB, "which nobody needs to know here"
    tree(group(at, 300 * MIB, 400 * MIB))
    assert memory_limits.available_bytes() == 0
    tree(group(at, "max", 100 * MIB))
    assert memory_limits.available_bytes() == 800 * MIB


def test_the_least_of_several(tree):
    tree(MEMINFO | group("v2/a/b", 500 * MIB, 0) | group("v2/a", 90 * MIB, 20 * MIB) | group("v2/c", MIB, 0))
    assert memory_limits.available_bytes() == 70 * MIB


@pytest.mark.parametrize("at", ["v1/docker/x", "v1/docker", "v1"])
def test_those_of_version_1(tree, at):
    """In a container only the root of what is mounted may be there."""
    limits = {f"{at}/memory.limit_in_bytes": str(300 * MIB), f"{at}/memory.usage_in_bytes": str(299 * MIB)}
    tree(MEMINFO | limits | {f"{at}/memory.stat": f"cache 7\ntotal_inactive_file {MIB}\n"})
    assert memory_limits.available_bytes() == 2 * MIB


def test_a_limit_whose_use_is_not_told_says_nothing(tree):
    tree(MEMINFO | {"v2/a/memory.max": str(MIB)})
    assert memory_limits.available_bytes() == 800 * MIB


def test_a_path_out_of_the_namespace_is_not_followed(tree, monkeypatch):
    monkeypatch.setattr(processes, "own_cgroups", lambda: {"": "/../v1"})
    tree(MEMINFO | group("v1", MIB, 0))
    assert memory_limits.available_bytes() == 800 * MIB


def test_the_address_space_s(tree, monkeypatch):
    tree(MEMINFO)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (mapped + 64 * MIB, resource.RLIM_INFINITY))
    assert 32 * MIB <= memory_limits.available_bytes() <= 96 * MIB


def test_a_scan_says_so_in_one_line(tmp_path):
    """The process holds more than the limit of the address space leaves."""
    hold = "import sys; held = bytes(400 << 20).replace(b'\\0\\0', b'ab'); print(flush=True); sys.stdin.read()"
    code = "import resource, sys\nfrom pksm.cli.main import main\n" \
        f"resource.setrlimit(resource.RLIMIT_AS, ({500 * MIB},) * 2)\nsys.exit(main(['scan', '--pid', sys.argv[1]]))"  # fmt: skip
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        command = [sys.executable, "-c", code, str(process.pid)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        process.stdin.close()
    assert done.returncode == 1 and "Traceback" not in done.stderr and "MiB of memory" in done.stderr
