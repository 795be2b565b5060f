"""Memory that is freed is kept for the next array where the environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import contextlib, resource, sys
import numpy as np
from pksm.linux.allocator import freed_memory_kept

def faults(block):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with block:
        for _ in range(40):
            np.ones(1 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(*(faults(block) for block in (contextlib.nullcontext(), freed_memory_kept(), contextlib.nullcontext())))
"""
PAGES = 2 * 1024 * 1024 // os.sysconf("SC_PAGE_SIZE")  # of an array there


def counted(**environment):
    done = subprocess.run(
        [sys.executable, "-c", COUNT], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return list(map(int, done.stdout.split()))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these thresholds")
def test_an_array_takes_the_memory_of_the_last_one():
    before, kept, after = counted(MALLOC_TRIM_THRESHOLD_="65536")
    assert kept < 3 * PAGES < 40 * PAGES <= min(before, after), "it is as before behind the block"
