"""pksmd inside somebody else's simulator: the simulator owns the memory, the clock and the loop.

Virtual machines boot one after the other, each with the same operating system and some memory of its own; after a while
each changes a page. What the simulator has to do for pksmd: say which pages live (add, free), say which bytes changed
(written, or let the update period find out), and call wake() when next_wake() milliseconds have passed.
"""

import numpy as np

from pksm import FlatHost, Pksmd, Store, preset

PAGE_SIZE, SYSTEM, OWN, MACHINES = 4096, 300, 100, 5
BOOT_EVERY_MS, END_MS = 400, 3000


def main():
    rng = np.random.default_rng(1)
    store = Store(PAGE_SIZE)
    n = SYSTEM + OWN
    _, memory = store.allocate(MACHINES * n)
    host = FlatHost(store)
    daemon = Pksmd(host, preset("fixed").with_(pages_to_scan=100, sleep_millisecs=50))
    system = rng.integers(0, 256, (SYSTEM, PAGE_SIZE), np.uint8)

    wake_at = 0
    for now in range(END_MS):  # the simulator's own loop
        machine, since = divmod(now, BOOT_EVERY_MS)
        first = machine * n
        if machine < MACHINES and since == 0:
            memory[first : first + SYSTEM] = system
            memory[first + SYSTEM : first + n] = rng.integers(0, 256, (OWN, PAGE_SIZE), np.uint8)
            host.add(np.arange(first, first + n, dtype=np.uint32))
        if machine < MACHINES and since == 300:
            page = np.uint32(first + n - 1)  # nobody else has it, so it may be written in place
            memory[page] = system[0]
            daemon.written(np.array([page], np.uint32))
        if now == wake_at:
            daemon.wake()
            wake_at = now + daemon.next_wake()
        if now % 500 == 499:
            print(f"{now + 1:5} ms: {host.frames_saved:5} of {len(daemon.items) + host.frames_saved} pages saved")
    host.check()
    return host.frames_saved


if __name__ == "__main__":
    main()
