"""A checksum written in C, loaded with ctypes: compile checksum_c.c and register what it exports.

Run it: `python examples/checksum_ctypes.py` prints how it does beside the default.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from pksm import checksums


def compiled(directory):
    """Compile the C file into this directory and return the path of the library."""
    library = Path(directory) / "checksum_c.so"
    source = Path(__file__).with_name("checksum_c.c")
    subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def register(directory):
    """Make the strategy `weighted-ctypes` known."""
    library = ctypes.CDLL(str(compiled(directory)))
    start = np.array([17], np.uint64)  # what the function gets as its state
    checksums.register("weighted-ctypes", library.weighted_sum, state=start, about="an example")


if __name__ == "__main__":
    from pksm.cli.main import main

    with tempfile.TemporaryDirectory() as scratch:
        register(scratch)
        sys.exit(main(["checksum", "profile", "f", "--pages", "4096", "--strategies", "xxh3-64,weighted-ctypes"]))
