"""A datacentre in SimPy: virtual machines come and go, and are placed by content or by room: pip install simpy."""

import numpy as np
import simpy

from pksm import Machine, Pksmd, preset

HOSTS, ROOM, PAGES = 3, 10_000, 2000  # pages that a host may fill, pages of a virtual machine
SYSTEMS, SYSTEM, ZERO = 3, 1400, 200  # operating systems, pages of one, and pages that stay zero
ARRIVALS_MS, LIFE_MS, END_MS = 3000, 60_000, 120_000  # times are virtual, in ms


class Host:
    def __init__(self, env):
        self.machine = Machine(2 * ROOM, page_size=8, clock=lambda: env.now)  # a page of 8 bytes stands for a whole one
        self.daemon = Pksmd(self.machine, preset("fixed").with_(pages_to_scan=200))
        self.saved = 0  # page-seconds
        env.process(self.wake_up(env))

    def wake_up(self, env):
        while True:
            self.daemon.wake()
            sleep = self.daemon.next_wake()
            self.saved += self.machine.frames_saved * sleep / 1000
            yield env.timeout(sleep)

    def room(self):
        return ROOM - self.machine.frames_used


def by_room(host, contents):
    return host.room()


def by_content(host, contents):
    return int(host.daemon.would_share(contents).sum()), host.room()


def virtual_machine(env, rng, hosts, place, number, turned_away):
    system = 1 + rng.integers(SYSTEMS) * SYSTEM + np.arange(SYSTEM)
    own = 10**9 + number * 10**6 + np.arange(PAGES - SYSTEM - ZERO)
    contents = np.concatenate((system, own, np.zeros(ZERO, int))).view(np.uint8).reshape(PAGES, 8)
    leaves = env.now + int(rng.exponential(LIFE_MS))
    if not (fitting := [host for host in hosts if host.room() >= PAGES]):
        turned_away.append(number)
        return
    machine = max(fitting, key=lambda host: place(host, contents)).machine
    mm = machine.spawn()
    memory = machine.mmap(mm, PAGES)
    machine.write(mm, memory, contents)
    while env.now < leaves:  # it writes to 20 of its pages per second
        yield env.timeout(1000)
        written = rng.choice(PAGES, 20, replace=False)
        machine.write_at(mm, memory + 8 * written, rng.bytes(8 * 20))
    machine.exit(mm)


def arrivals(env, seed, hosts, place, turned_away):
    for number in range(END_MS):
        rng = np.random.default_rng([seed, number])
        yield env.timeout(int(rng.exponential(ARRIVALS_MS)))
        env.process(virtual_machine(env, rng, hosts, place, number, turned_away))


def run(place, seed=1, end_ms=END_MS):
    """Return the page-seconds saved and the number of virtual machines that found no room."""
    env, turned_away = simpy.Environment(), []
    hosts = [Host(env) for _ in range(HOSTS)]
    env.process(arrivals(env, seed, hosts, place, turned_away))
    env.run(until=end_ms)
    for host in hosts:
        host.machine.check()
        host.daemon.check()
    return sum(host.saved for host in hosts), len(turned_away)


if __name__ == "__main__":
    for place in (by_room, by_content):
        saved, turned_away = run(place)
        print(f"{place.__name__}: {saved:,.0f} page-seconds saved, {turned_away} virtual machines turned away")
