"""The files of a fleet: those that were named, those of directories, and which ones a task reads together."""

import os
from collections.abc import Sequence
from pathlib import Path

from pksm.errors import PksmError, UsageError
from pksm.sources.fingerprints.layout import MAGIC

BATCH_FILES, BATCH_BYTES = 64, 16 << 20  # that one task reads


def files_of(paths: Sequence[str]) -> tuple[list[str], list[PksmError]]:
    """Return files, each once, and of directories those that hold fingerprints; and what is wrong with directories.

    Raises:
        UsageError: nothing is wrong with the paths, but no file is among them.
    """
    found: list[str] = []
    errors: list[PksmError] = []
    for path in paths:
        if os.path.isdir(path):
            try:
                found += sorted(str(one) for one in Path(path).iterdir() if one.is_file() and _begins_right(one))
            except OSError as error:
                errors.append(PksmError(f"{path}: {error.strerror}"))
        else:
            found.append(path)
    if not found and not errors:
        where = f"{paths[0]}: no file in it holds fingerprints" if paths else "say which files of fingerprints"
        raise UsageError(f"{where}: make them with pksm fingerprint")
    once: dict[str, str] = {}
    for path in found:
        once.setdefault(os.path.abspath(path), path)  # work is kept by that name
    return list(once.values()), errors


def batches(files: Sequence[str]) -> list[list[str]]:
    """Put small files together, so that a worker is worth its start; each of those that are large is one alone."""
    made: list[list[str]] = []
    room = 0
    for path in files:
        try:
            size = os.path.getsize(path)
        except (OSError, ValueError):  # whoever reads it says why
            size = 0
        if not made or size > room or len(made[-1]) == BATCH_FILES:
            made.append([])
            room = BATCH_BYTES
        made[-1].append(path)
        room -= size
    return made


def _begins_right(path: Path) -> bool:
    """Return whether a file of a directory holds fingerprints, or cannot be read: whoever reads it says why."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return True
