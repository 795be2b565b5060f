"""A secret key in a file that its owner alone can read."""

import os
import re
import stat

from pksm.errors import PksmError, UsageError

KEY_BYTES = 16
MOST_BYTES = 256


def read_key(path: str) -> bytes:
    """Return the key, 16 bytes, that the file holds as 32 hexadecimal digits.

    Raises:
        UsageError: others may read or write the file, or it holds something else.
        PksmError: it cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise PksmError(f"{path}: {error.strerror}") from None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{path}: is not a regular file")
        if facts.st_mode & 0o077:
            raise UsageError(
                f"{path}: others may get at it (mode {stat.S_IMODE(facts.st_mode):04o}): chmod 600 it, or take another key"
            )
        text = os.read(fd, MOST_BYTES)
    except OSError as error:
        raise PksmError(f"{path}: {error.strerror}") from None
    finally:
        os.close(fd)
    if not re.fullmatch(rb"[0-9a-fA-F]{32}\n?", text):
        raise UsageError(f"{path}: holds no key of {2 * KEY_BYTES} hexadecimal digits: openssl rand -hex 16 makes one")
    return bytes.fromhex(text.decode("ascii"))
