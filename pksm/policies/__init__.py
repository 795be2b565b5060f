"""Who merges: one file or folder per policy."""
