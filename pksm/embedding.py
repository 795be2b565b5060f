"""Where the C core's header and sources are, for programs that compile it into themselves."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# A wheel has them inside the package, a checkout beside it.
_CSRC = _PACKAGE / "csrc" if (_PACKAGE / "csrc").is_dir() else _PACKAGE.parent / "csrc"
_NOT_IN_LIBPKSM = {"yardstick.c"}


def get_include() -> str:
    """Return the directory of `pksm.h`, for the compiler's option -I.

    Returns:
        An absolute path.
    """
    return str(_CSRC / "include")


def get_sources() -> list[str]:
    """Return the C files of libpksm; with `get_include()` they compile as C11, in one command and without options.

    Returns:
        Absolute paths, sorted.
    """
    return sorted(str(path) for path in _CSRC.rglob("*.c") if path.name not in _NOT_IN_LIBPKSM)
