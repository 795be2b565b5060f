"""What every policy is built of: the core in C, pages, items, queues, checksums, rules, counters."""
