"""CKSM: physical pages, newest first, in steps that follow what merges."""
