"""pksmd's counters, under the names the kernel gives their files in /sys/kernel/mm/pksm."""

# On 64 bits. The published kernels differ: an rmap_item has 112 to 120 bytes.
RMAP_ITEM_BYTES = 116
STABLE_NODE_ANON_BYTES = 24
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
