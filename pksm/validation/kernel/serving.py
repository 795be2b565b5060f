"""A fork server at work, run by path: workers share its memory, answer requests, and are replaced after a while."""

import json
import os
import random
import select
import signal
import time

N_WORKERS, REQUESTS, PAUSE_S = 4, 250, 0.04
CACHE_BLOCKS, BLOCK_BYTES = 64, 1 << 14
LIBRARIES = ("argparse", "decimal", "email", "http.client", "statistics", "xml.dom.minidom")


def work(table: list[str], seed: int) -> None:
    """Answer requests: each reads some rows, makes an answer, and keeps it for a while."""
    source, server = random.Random(seed), os.getppid()
    kept: dict[int, bytearray] = {}
    common = [bytearray(bytes([number]) * BLOCK_BYTES) for number in range(CACHE_BLOCKS)]  # alike in all workers
    for request in range(REQUESTS + source.randrange(REQUESTS)):
        if os.getppid() != server:
            return
        rows = [table[source.randrange(len(table))] for _ in range(40)]
        answer = json.dumps({"request": request, "rows": rows}).encode()
        kept[request % 48] = bytearray((answer * (BLOCK_BYTES // len(answer) + 1))[:BLOCK_BYTES])
        common[request % CACHE_BLOCKS][request % BLOCK_BYTES] = request % 251
        time.sleep(PAUSE_S)


def main() -> None:
    """Load libraries and a table, then keep workers going until the input ends."""
    for name in LIBRARIES:
        __import__(name)
    table = [f"row {number} of the table " * 3 for number in range(60_000)]
    workers: set[int] = set()
    started = 0
    os.write(1, b"\n")
    while not select.select([0], [], [], 0.02)[0]:
        while workers:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            workers.discard(pid)
        if len(workers) < N_WORKERS:
            started += 1
            pid = os.fork()
            if pid == 0:
                work(table, started)
                os._exit(0)
            workers.add(pid)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
