"""The program of a Python fork family, run by path: prints the process ids, its own first, then waits."""

import os
import random
import sys
import time

N_BLOCKS = 24
BLOCK_BYTES = 1 << 18


def contents(seed: int) -> list[bytearray]:
    """Make blocks: a third empty, a third of text that repeats, a third random."""
    source = random.Random(seed)
    kinds = (
        lambda: bytes(BLOCK_BYTES),
        lambda: b"a line of text\n" * (BLOCK_BYTES // 15),
        lambda: source.randbytes(BLOCK_BYTES),
    )
    return [bytearray(kinds[number % 3]()) for number in range(N_BLOCKS)]


def main(n: int) -> None:
    """Fill memory, fork, and let each child make a third of its blocks anew: alike in all of them."""
    blocks = contents(1)
    pids = [os.getpid()]
    for _ in range(n):
        pid = os.fork()
        if pid == 0:
            blocks[::3] = contents(2)[::3]
            blocks[2::6] = contents(3)[2::6]
            time.sleep(3600)
            os._exit(0)
        pids.append(pid)
    time.sleep(1.0)  # the children have written by then
    os.write(1, (" ".join(map(str, pids)) + "\n").encode())
    time.sleep(3600)


if __name__ == "__main__":
    main(int(sys.argv[1]))
