"""New files that appear whole or not at all."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO

from pksm.errors import PksmError, UsageError

PREFIX = ".pksm-"
# What kernels and file systems without O_TMPFILE say.
_WITHOUT = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class NewFile:
    """A file under way; it appears when its block ends, if something was written to it."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self.written = False
        self._file = file

    def write(self, writer: Callable[[BinaryIO], object]) -> None:
        """Let writer(file) write all that the file is to hold. PksmError if it can't be written."""
        with _named(self.path):
            writer(self._file)
            self._file.flush()
            os.fsync(self._file.fileno())
        self.written = True


@contextmanager
def new_file(path: str, holds: str, is_ours: Callable[[bytes], bool], mode: int = 0o600) -> Iterator[NewFile]:
    """Give a NewFile that takes the place of `path` at the end of the block, if it was written.

    It has no name until then where the file system can do that (O_TMPFILE), so whatever ends this process leaves
    nothing behind. What was there stays if the block fails.

    Args:
        path: of the file.
        holds: what it will hold, in words, for messages.
        is_ours: says by the first bytes of a file whether it may be replaced; an empty one always may.
        mode: of the new file, less the umask.

    Raises:
        UsageError: something else is at this path: a directory, a symbolic link, a device, a file of others.
        PksmError: it can't be written.
    """
    _refuse_others(path, holds, is_ours)
    with ExitStack() as stack:
        with _named(path):
            folder = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            descriptor, name = stack.enter_context(_unnamed(folder, mode))
            file = open(descriptor, "w+b", closefd=False)  # noqa: SIM115 (_drop closes it)
            stack.callback(_drop, file)
        new = NewFile(path, file)
        yield new
        if new.written:
            with _named(path):
                _appear(folder, descriptor, name, os.path.basename(path))


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Say in an error of the system which file could not be written."""
    try:
        yield
    except OSError as error:
        raise PksmError(f"{path}: cannot be written: {error.strerror}") from None


def _drop(file: BinaryIO) -> None:
    """Close a file that was flushed, if it is of any use; what else it holds can't be written."""
    with suppress(OSError):
        file.close()


def _refuse_others(path: str, holds: str, is_ours: Callable[[bytes], bool]) -> None:
    if os.path.islink(path):
        raise UsageError(f"{path}: is a symbolic link; name the file itself")
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a directory; name a file for {holds}")
    if not os.path.lexists(path):
        return
    if not os.path.isfile(path):
        raise UsageError(f"{path}: is not a regular file; name another file")
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise PksmError(f"{path}: cannot be read, and so not be replaced: {error.strerror}") from None
    if head and not is_ours(head):
        raise UsageError(f"{path}: is there already and does not hold {holds}; name another file")


@contextmanager
def _unnamed(folder: int, mode: int) -> Iterator[tuple[int, str | None]]:
    """Give the descriptor of a new file, and its name for the time being, or None."""
    name = None
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=folder)
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
        name = _odd_name()
        descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)
        if name is not None:
            with suppress(FileNotFoundError):  # it has its name
                os.unlink(name, dir_fd=folder)


def _appear(folder: int, descriptor: int, name: str | None, final: str) -> None:
    """Give a file its name, whatever had it before."""
    if name is None:
        name = _odd_name()
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
    try:
        os.rename(name, final, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        raise


def _odd_name() -> str:
    return PREFIX + os.urandom(8).hex()
