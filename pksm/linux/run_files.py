"""The directory for what has to outlive a run of pksm until the next one: root's alone, gone with the machine's boot."""

import os

from pksm.errors import UnsupportedError

DIRECTORY = "/run/pksm"


def open_directory() -> int:
    """Open the directory, which is made if it is not there, and return its descriptor.

    Raises:
        UnsupportedError: it cannot be made, or somebody else could put something there.
    """
    try:
        os.mkdir(DIRECTORY, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnsupportedError(f"{DIRECTORY}: cannot be made: {error.strerror}: pksm keeps its lock there") from None
    try:
        fd = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UnsupportedError(f"{DIRECTORY}: cannot be opened: {error.strerror}: remove it") from None
    facts = os.fstat(fd)
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        os.close(fd)
        raise UnsupportedError(f"{DIRECTORY}: others than root may use it: remove it")
    return fd
