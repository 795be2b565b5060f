"""Where the C core's header and sources are, for programs that compile it into themselves; and all of it in one file."""

import re
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# A wheel has them inside the package, a checkout beside it.
_CSRC = (_PACKAGE / "csrc" if (_PACKAGE / "csrc").is_dir() else _PACKAGE.parent / "csrc").resolve()
_NOT_IN_LIBPKSM = {"yardstick.c"}
_HEADER = "pksm.h"
_INCLUDE = re.compile(r'#include "(.+)"')
_DEFINE = re.compile(r"# *define (\w+)")


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


def amalgamate(folder: str | Path) -> list[Path]:
    """Write libpksm as two files: `pksm_all.c`, which compiles as C11 by itself, and `pksm.h`.

    Args:
        folder: is made if there is none; files of these names in it are written anew.

    Returns:
        The paths of both.

    Raises:
        OSError: the files could not be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = Path(get_include(), _HEADER).read_text(encoding="utf-8")
    texts = {"pksm_all.c": "".join(_in_one_file()), _HEADER: header}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _in_one_file() -> Iterator[str]:
    """Yield the text of all sources; what one of them defines as a macro ends with it."""
    yield "/* pksm_all.c: all of libpksm in one file, made from its sources by pksm amalgamate. */\n"
    there = {Path(get_include(), _HEADER)}
    for source in map(Path, get_sources()):
        yield from _with_headers(source, there)
        macros = sorted(set(_DEFINE.findall(source.read_text(encoding="utf-8"))))
        yield "".join(f"#undef {name}\n" for name in macros)


def _with_headers(path: Path, there: set[Path]) -> Iterator[str]:
    """Yield the text of a file, each header of ours where it is first included; there: those that were, is added to."""
    yield f"\n/* ==== {path.relative_to(_CSRC).as_posix()} ==== */\n"
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        include = _INCLUDE.match(line)
        if not include or include[1] == _HEADER:
            yield line
            continue
        places = [folder / include[1] for folder in (path.parent, _CSRC)]
        header = next(place for place in places if place.is_file()).resolve()
        if header not in there:
            there.add(header)
            yield from _with_headers(header, there)
            yield f"\n/* ==== {path.relative_to(_CSRC).as_posix()}, further on ==== */\n"
