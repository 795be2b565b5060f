"""Merge throughput beside the limits of the machine, rivals, and the running kernel."""
