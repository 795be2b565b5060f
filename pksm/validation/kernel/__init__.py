"""Against the kernel that runs."""
