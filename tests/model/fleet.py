"""A fleet in slow plain Python: sets and dictionaries of contents."""

from itertools import combinations


def distinct(vms, group_of):
    """Contents that groups hold, each as often as groups have it; vms: lists of contents."""
    groups = {}
    for contents, group in zip(vms, group_of, strict=True):
        groups.setdefault(group, set()).update(contents)
    return sum(map(len, groups.values()))


def grown(vms, host_of, m):
    """The mean number of distinct contents over all choices of m hosts."""
    hosts = sorted(set(host_of))
    held = {host: set().union(*(c for c, own in zip(vms, host_of, strict=True) if own == host)) for host in hosts}
    sizes = [len(set().union(*(held[host] for host in choice))) for choice in combinations(hosts, m)]
    return sum(sizes) / len(sizes)


def overlap(vms, most):
    """Contents that two have in common, without those that more than `most` have."""
    times = {}
    for contents in vms:
        for content in set(contents):
            times[content] = times.get(content, 0) + 1
    kept = [{content for content in contents if times[content] <= most} for contents in vms]
    return [[len(one & two) for two in kept] for one in kept]


def heavy(vms, most):
    """(pages, VMs, both words) of the contents with the most pages, those with most first."""
    every = [content for contents in vms for content in contents]
    found = [(every.count(one), sum(one in contents for contents in vms), *one) for one in set(every)]
    return sorted(found, reverse=True)[:most]


def saved_by(vms, host_of):
    """Pages that merging within hosts saves."""
    return sum(map(len, vms)) - distinct(vms, host_of)


def saved_by_placed(vms, host_of):
    """The same, of the VMs that are somewhere."""
    placed = [(contents, host) for contents, host in zip(vms, host_of, strict=True) if host >= 0]
    return sum(len(one) for one, _ in placed) - distinct([one for one, _ in placed], [host for _, host in placed])


def room_left(vms, host_of, rooms, extra):
    """What each host has left: its contents take room, and what each VM takes besides."""
    left = []
    for host, room in enumerate(rooms):
        own = [vm for vm, where in enumerate(host_of) if where == host]
        left.append(room - len(set().union(*(vms[vm] for vm in own))) - sum(extra[vm] for vm in own))
    return left


def shared(base, snapshot, least):
    """Pages equal at the same offset, those that base has anywhere, and those in runs of so many pages."""
    runs, run = [], 0
    for one, two in zip([*base, None], [*snapshot, 0], strict=True):
        if one == two:
            run += 1
        else:
            runs.append(run)
            run = 0
    return sum(runs), sum(page in base for page in snapshot), tuple(sum(r for r in runs if r >= n) for n in least)


def restored(base, snapshots):
    """Pages in memory: those of base, and what each has of its own."""
    return len(base) + sum(one != two for each in snapshots for one, two in zip(base, each, strict=True))


def built(snapshots):
    """At each offset, the commonest content, of equals that of the first snapshot."""
    return [max(column, key=column.count) for column in zip(*snapshots, strict=True)]


def snapshots(images, least):
    """What images (lists of contents, None: unknown) have in common with the first, the best and the built base.

    Returns {name: (pages in memory, [shared() of each image])}, the first best one of all.
    """
    own = [[(number, place) if page is None else page for place, page in enumerate(image)]
           for number, image in enumerate(images)]  # fmt: skip
    memory = [restored(base, own) for base in own]
    bases = {"first": own[0], "best": own[memory.index(min(memory))]}
    bases["built"] = built(own)
    return {name: (restored(base, own), [shared(base, image, least) for image in own]) for name, base in bases.items()}


def groups(vms, most):
    """Groups of three or more: [(members as they join, what each has in common with those before)], most saved first."""
    times = {}
    for contents in vms:
        for content in contents:
            times[content] = times.get(content, 0) + 1
    kept = [{content for content in contents if times[content] <= most} for contents in vms]
    left, made = set(range(len(vms))), []
    while len(left) >= 2:
        pairs = {(one, two): len(kept[one] & kept[two]) for one, two in combinations(sorted(left), 2)}
        one, two = max(pairs, key=pairs.get)
        if not pairs[one, two]:
            break
        group, gains, held = [one, two], [0, pairs[one, two]], kept[one] | kept[two]
        left -= {one, two}
        while True:
            gain = {
                vm: len(kept[vm] & held)
                for vm in sorted(left)
                if all(len(kept[vm] & kept[other]) <= len(kept[vm] & held) for other in left - {vm})
            }
            best = max(gain, key=gain.get, default=None)
            if best is None or not gain[best]:
                break
            group.append(best), gains.append(gain[best])
            held |= kept[best]
            left.remove(best)
        if len(group) >= 3:
            made.append((group, gains))
    return sorted(made, key=lambda found: -sum(found[1]))
