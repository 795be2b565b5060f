"""KSM's counters, under the names the kernel gives their files in /sys/kernel/mm/ksm."""

# Of the kernel's records on 64 bits: /sys/kernel/slab/ksm_*/object_size
ITEM_BYTES = 64  # an rmap_item
STABLE_NODE_BYTES = 64
MM_SLOT_BYTES = 48
COUNTERS = {
    "pages_shared": "stable pages that mappings hang on",
    "pages_sharing": "mappings that hang on a stable page, beyond the first of each",
    "pages_unshared": "mappings in the unstable tree, or last seen there",
    "pages_volatile": "mappings that are neither: changed between two visits, skipped, or not yet visited twice",
    "pages_scanned": "visits",
    "pages_skipped": "visits left out by smart_scan",
    "full_scans": "times that all opted-in memory was visited",
    "ksm_zero_pages": "mappings of the zero page in place of an empty page",
    "stable_node_chains": "contents that have, or had, more stable pages than one",
    "stable_node_dups": "stable pages of those",
    "general_profit": "bytes: pages_sharing and ksm_zero_pages, less 64 a mapping",
    "rmap_items": "mappings that are tracked",
}
