"""Counters and settings of a policy under the names the kernel gives their files in /sys/kernel/mm."""

from collections.abc import MutableMapping

from pksm.errors import UsageError
from pksm.policies.pksmd.tunables import SETTINGS

COUNTERS = {
    "pages_shared": "pages in the stable tree",
    "pages_sharing": "ptes merged away: into a kept page, or into the zero page",
    "pages_zero_sharing": "ptes merged into the zero page",
    "pages_unshared": "pages in the unstable tree",
    "full_scans": "always 0, as in the published kernels: nothing is scanned in rounds",
    "stable_nodes": "stable_node_anon records, one a sharer of each page in the stable tree",
    "rmap_items": "pages that are tracked",
    "new_len": "pages waiting for their first visit",
    "rescan_len": "pages waiting to be visited again",
    "del_len": "freed pages whose items are not yet reclaimed",
}


class Sysfs(MutableMapping):
    """The files of a policy: counters to read, tunables to read and set.

    counters: {name: meaning} of what policy.counters() says; settings: {name: field} of policy.tunables. Setting raises
    UsageError for a value out of range, PermissionError for a counter, KeyError for an unknown name.
    """

    def __init__(self, policy, counters=COUNTERS, settings=SETTINGS):
        self._policy, self._counters, self._settings = policy, counters, settings

    def __getitem__(self, name):
        if name in self._counters:
            return self._policy.counters()[name]
        if name in self._settings:
            return getattr(self._policy.tunables, name)
        raise KeyError(name)

    def __setitem__(self, name, value):
        if name in self._counters:
            raise PermissionError(f"{name} is a counter: it can only be read")
        if name not in self._settings:
            raise KeyError(name)
        self._policy.tunables = self._policy.tunables.with_(**{name: value})

    def __delitem__(self, name):
        raise UsageError("sysfs files can't be deleted")

    def __iter__(self):
        yield from self._counters
        yield from self._settings

    def __len__(self):
        return len(self._counters) + len(self._settings)
