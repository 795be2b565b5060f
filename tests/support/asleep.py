"""Processes that wait for us."""

import time
from pathlib import Path


def wait_until_asleep(pid):
    """It has answered, but may not have come back to wait for the next line."""
    asleep = 0
    while asleep < 5:
        time.sleep(0.05)
        asleep = asleep + 1 if "State:\tS" in Path(f"/proc/{pid}/status").read_text() else 0
