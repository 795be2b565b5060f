"""pksmd as a process of SimPy, beside a server that forks workers: pip install simpy."""

import simpy

from pksm import Pksmd, preset
from pksm.hosts.machine import Machine

PAGES, WORKERS, END_MS = 400, 6, 5000


def pksmd(env, machine, daemon):
    while True:
        machine.now = env.now
        daemon.wake()
        yield env.timeout(daemon.next_wake())


def worker(env, machine, server, heap, number):
    """Lives for two seconds and writes to a tenth of what it was forked with."""
    mm = machine.fork(server)
    yield env.timeout(200)
    machine.write(mm, heap + number * machine.page_size * (PAGES // 10), [1000 + number] * (PAGES // 10))
    yield env.timeout(1800)
    machine.exit(mm)


def server(env, machine):
    mm = machine.spawn()
    heap = machine.mmap(mm, PAGES)
    machine.write(mm, heap, [1 + page % 150 for page in range(PAGES)])
    for number in range(WORKERS):
        yield env.timeout(300)
        env.process(worker(env, machine, mm, heap, number))


def main():
    env = simpy.Environment()
    machine = Machine(4 * PAGES)
    daemon = Pksmd(machine, preset("fixed"))
    env.process(server(env, machine))
    env.process(pksmd(env, machine, daemon))
    for until in range(1000, END_MS + 1, 1000):
        env.run(until=until)
        print(f"{until} ms: {machine.frames_used} frames used, {machine.pages_sharing} mappings share")
    machine.check()
    daemon.check()
    return machine.frames_used


if __name__ == "__main__":
    main()
