"""The directory for what this user's pksm keeps for good: $XDG_DATA_HOME/pksm, or ~/.local/share/pksm."""

import os

from pksm.errors import UnsupportedError

MOST_BYTES = 1 << 20


def path_of(name: str) -> str:
    """Return the path of a file there, which may not exist. UnsupportedError where the user has no home."""
    home = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".local", "share")
    if not os.path.isabs(home):
        raise UnsupportedError("HOME: not set: pksm keeps there what it has measured")
    return os.path.join(home, "pksm", name)


def read(name: str) -> bytes | None:
    """Return what a file there holds; None if there is none that can be read."""
    try:
        with open(path_of(name), "rb") as file:
            return file.read(MOST_BYTES)
    except (OSError, UnsupportedError):
        return None


def make_directory() -> None:
    """Make the directory, if it is not there. UnsupportedError if it cannot be made."""
    path = os.path.dirname(path_of(""))
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise UnsupportedError(f"{path}: cannot be made: {error.strerror}") from None
