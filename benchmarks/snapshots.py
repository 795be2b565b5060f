"""Measures the memory and CPU time that comparing snapshots takes, on images that it makes; every answer is checked.

What the command takes in memory is counted beside what it takes for two small images: the modules, and the worker.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from storing import store

from pksm.errors import PksmError
from pksm.linux import system

PAGE = 4096
SMALL = 64  # pages
AT_ONCE = 1 << 10


def made(directory, images, pages, seed=0):
    """Write images, the k-th of which has k pages of its own in each 64; return (paths, those pages of each).

    In pieces: what this process has had in memory counts for the command that it starts.
    """
    place = np.arange(pages) % 64
    paths = [str(Path(directory, f"{number:03d}.mem")) for number in range(images)]
    for number, path in enumerate(paths):
        own = np.random.default_rng([seed, number])
        with open(path, "wb") as file:
            for begin in range(0, pages, AT_ONCE):
                piece = np.random.default_rng([seed, images, begin]).integers(
                    1, 1 << 62, (min(AT_ONCE, pages - begin), PAGE // 8), np.int64
                )
                changed = place[begin : begin + AT_ONCE] < number
                piece[changed, 0] = own.integers(1, 1 << 62, int(changed.sum()), np.int64)
                piece.tofile(file)
    return paths, [int((place < number).sum()) for number in range(images)]


def compared(paths, own, pages):
    """Compare images by the command; return (bytes at its peak, seconds of CPU). PksmError for a wrong answer."""
    with tempfile.TemporaryFile() as out:
        argv = [sys.executable, "-m", "pksm", "fleet", "--snapshots", *paths, "--json"]
        pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
        _, status, usage = os.wait4(pid, 0)
        out.seek(0)
        text = out.read()
    if status:
        raise PksmError(f"the command failed: {os.waitstatus_to_exitcode(status)}")
    found = [pages - one["same_offset_pages"] for one in json.loads(text)["snapshots"]]
    if found != own:
        raise PksmError(f"{own} pages are of each image alone, found {found}")
    return usage.ru_maxrss << 10, usage.ru_utime + usage.ru_stime


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/snapshots.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=1 << 18, help="of an image that is read alone (%(default)s)")
    parser.add_argument("--images", type=int, default=32, help="that are compared (%(default)s)")
    parser.add_argument("--each", type=int, default=1 << 15, help="pages of each of these (%(default)s)")
    parser.add_argument("--directory", default=None, help="where to make the images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    sizes = {"small": (2, SMALL), "alone": (1, options.pages), "each": (1, options.each),
             "all": (options.images, options.each)}  # fmt: skip
    memory, cpu_s = {}, {}
    for name, (images, pages) in sizes.items():
        with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
            memory[name], cpu_s[name] = compared(*made(scratch, images, pages), pages)
    results = {
        "machine": system.machine(),
        "pages": options.pages,
        "bytes_per_page": (memory["alone"] - memory["small"]) / options.pages,
        "images": options.images,
        "pages_each": options.each,
        "comparing_mib": (memory["all"] - memory["each"]) / (1 << 20),
        "cpu_us_per_page": 1e6 * (cpu_s["all"] - cpu_s["small"]) / (options.images * options.each),
    }
    print(f"an image of {options.pages:,} pages: {results['bytes_per_page']:.0f} bytes per page")
    print(
        f"{options.images} images of {options.each:,} pages: {results['comparing_mib']:.0f} MiB more than one of them, "
        f"{results['cpu_us_per_page']:.2f} us of CPU per page"
    )
    store(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
