"""The kernel's own KSM: its files, and ksmd borrowed and stepped."""
