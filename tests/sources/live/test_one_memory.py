"""Processes that share one memory: it is read once, and a line says so."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys

import pytest

from pksm import sources
from pksm.linux.proc import one_memory
from pksm.scan import Settings, scan

PAGES = 300

# Two processes with one memory and no thread, then a fork of the first: all of the pages are different.
PROGRAM = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
static char stack[1 << 16];
static int stay(void *unused)
{
    for (;;)
        pause();
}
int main(int count, char *volatile *arguments)
{
    unsigned *memory = mmap(0, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int forked = fork();
    if (forked == 0)
        stay(0);
    arguments[0] = arguments[0]; /* the stack's first page, which the fork has too until it is written */
    madvise(memory, PAGES * 4096, MADV_NOHUGEPAGE);
    for (int page = 0; page < PAGES; page++)
        memory[page * 1024] = page + 1;
    printf("%d %d %d\n", getpid(), clone(stay, stack + sizeof stack, CLONE_VM | SIGCHLD, 0), forked);
    fflush(stdout);
    stay(0);
}
"""


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Ids of a process, of one that shares its memory, and of its fork."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("one") / "family"
    subprocess.run([compiler, f"-DPAGES={PAGES}", "-xc", "-o", program, "-"], input=PROGRAM, text=True, check=True)
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        yield pids
        for pid in reversed(pids):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["kcmp", "frames"])
def known_by(request, monkeypatch):
    """How processes are compared: frames where the kernel has no kcmp."""
    if request.param == "frames":
        if os.geteuid() != 0:
            pytest.skip("frames are shown to root only")
        monkeypatch.setattr(one_memory, "_kcmp", lambda one, other: -1)
    elif not one_memory._compares():
        pytest.skip("this kernel has no kcmp")


def scanned(view, *pids):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(contextlib.closing(sources.open_pid(pid))) for pid in pids]
        return scan(opened, Settings(view=view))


@pytest.mark.parametrize("view", ["frames", "mappings"])
def test_one_memory_of_two_processes_is_read_once(family, known_by, view):
    one, other, _ = family
    alone, together = scanned(view, one), scanned(view, one, other)
    assert together["totals"] == alone["totals"] and together["totals"]["pages"] >= PAGES
    assert together["saving"]["pages"] == alone["saving"]["pages"] < PAGES
    assert [source["pid"] for source in together["sources"]] == [one]
    (line,) = (line for line in together["warnings"] if "it is read once" in line)
    assert line.startswith(f"pid {one} (") and f"pid {other} (" in line
    assert not together["partial"]


def test_a_fork_has_a_memory_of_its_own(family, known_by):
    one, other, fork = family
    assert one_memory.of_one_memory([fork, other, one]) == [[other, one]]
    assert one_memory.of_one_memory([one, fork]) == one_memory.of_one_memory([]) == []
    assert {source["pid"] for source in scanned("frames", fork, one, other)["sources"]} == {fork, one}


def test_processes_that_have_ended_share_nothing(known_by):
    """Zombies have no memory at all, which is the same for all of them."""
    ended = [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2)]
    for process in ended:
        pidfd = os.pidfd_open(process.pid)
        select.select([pidfd], [], [])
        os.close(pidfd)
    assert one_memory.of_one_memory([process.pid for process in ended]) == []
    for process in ended:
        process.wait()
    assert one_memory.of_one_memory([process.pid for process in ended]) == []
