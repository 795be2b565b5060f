"""The checksum of checksum_c.c, loaded with cffi."""

import sys
import tempfile

import cffi

sys.path.insert(0, str(__file__).rpartition("/")[0])
from checksum_ctypes import compiled

from pksm import checksums


def register(directory):
    """Make the strategy `weighted-cffi` known."""
    ffi = cffi.FFI()
    ffi.cdef("uint64_t weighted_sum(const uint8_t *page, size_t size, const void *state);")
    library = ffi.dlopen(str(compiled(directory)))
    start = ffi.new("uint64_t *", 17)
    function = ffi.addressof(library, "weighted_sum")  # cffi closes a library that nobody keeps
    checksums.register("weighted-cffi", function, state=start, keep=library, about="an example")


if __name__ == "__main__":
    from pksm.cli.main import main

    with tempfile.TemporaryDirectory() as scratch:
        register(scratch)
        sys.exit(main(["checksum", "profile", "f", "--pages", "4096", "--strategies", "xxh3-64,weighted-cffi"]))
