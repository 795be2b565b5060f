"""The revision of the code that runs, where it runs from a checkout."""

import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 30


def commit() -> str | None:
    """Return the commit of this checkout, with "-dirty" if its files differ from it; None if pksm is installed."""
    if not (CHECKOUT / ".git").exists():
        return None  # a repository further up is not ours
    try:
        head, changes = _git("rev-parse", "HEAD"), _git("status", "-s", "-uno")
    except (OSError, subprocess.SubprocessError):
        return None
    return head[:12] + ("-dirty" if changes else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(CHECKOUT), *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    return done.stdout.strip()
