"""A checksum written in Python and compiled by numba (https://numba.pydata.org) to a C function."""

import sys

from pksm import checksums


def register():
    """Make the strategy `weighted-numba` known."""
    from numba import carray, cfunc, types

    signature = types.uint64(types.CPointer(types.uint64), types.size_t, types.voidptr)

    @cfunc(signature)
    def weighted_sum(page, size, state):
        total = types.uint64(0)
        words = carray(page, size // 8)
        for i in range(size // 8):
            total += words[i] * types.uint64(2 * i + 1)
        return total

    checksums.register("weighted-numba", weighted_sum, about="an example")


if __name__ == "__main__":
    from pksm.cli.main import main

    register()
    sys.exit(main(["checksum", "profile", "f", "--pages", "4096", "--strategies", "xxh3-64,weighted-numba"]))
