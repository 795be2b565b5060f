"""Processes that wait for us."""

import time
from pathlib import Path


def wait_until_asleep(pid, looks=5, every_s=0.05):
    """It has answered, but may not have come back to wait for the next line."""
    asleep = 0
    while asleep < looks:
        time.sleep(every_s)
        asleep = asleep + 1 if "State:\tS" in Path(f"/proc/{pid}/status").read_text() else 0
