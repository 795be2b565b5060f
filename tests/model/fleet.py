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


def saved_by(vms, host_of):
    """Pages that merging within hosts saves."""
    return sum(map(len, vms)) - distinct(vms, host_of)


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
    """At each offset, the commonest content, the lowest of equals."""
    return [min(set(column), key=lambda page: (-column.count(page), page)) for column in zip(*snapshots, strict=True)]
