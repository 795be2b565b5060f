"""compare_snapshots(): images of microVMs' memory to the document pksm.snapshots/1."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, Literal

from pksm.arrays import U64Array
from pksm.documents.snapshots import Snapshot, SnapshotBase, SnapshotsDocument
from pksm.errors import PksmError, UsageError
from pksm.fleet.images import Row, read_row
from pksm.fleet.snapshots import Base, Shared, best_snapshot, built_base
from pksm.sources.base import Source, check_page_size
from pksm.sources.opening import as_error_of, first_of

SCHEMA: Final = "pksm.snapshots/1"
PAGE_SIZE = 4096
Progress = Callable[[str, int, int], object]


def compare_snapshots(
    openers: Sequence[Callable[[], Source]],
    page_size: int = PAGE_SIZE,
    progress: Progress = lambda what, done, total: None,
) -> SnapshotsDocument:
    """Compare images of microVMs' memory with the one that all are restored from, and with the best one for that.

    Images are read one after the other. Memory is bounded by the largest one: about 75 bytes for each of its pages, and
    8 bytes per page of all images lie in files of the temporary directory.

    Args:
        openers: open the images, one each, in the order in which they were made; the first is the base of the others.
        page_size: bytes.
        progress: progress("reading" or "comparing", images done, images in all).

    Returns:
        The document. Images that cannot be read, or that cover other addresses than most, are named in its warnings and
        left out, and it is partial.

    Raises:
        UsageError: no images, or they cannot be read in pages of this size.
        PksmError: no image can be read.
    """
    check_page_size(page_size)
    if not openers:
        raise UsageError("name the images to compare")
    with tempfile.TemporaryDirectory(prefix="pksm-snapshots-") as directory:
        rows: list[Row] = []
        errors: list[PksmError] = []
        for number, opener in enumerate(openers):
            progress("reading", number, len(openers))
            try:
                with closing(opener()) as source:
                    row = read_row(source, page_size, number)
            except (UsageError, MemoryError):
                raise
            except Exception as error:
                errors.append(as_error_of("an image", error))
                continue
            rows.append(row.stored(os.path.join(directory, f"{number}.row")))
        if not rows:
            raise first_of(errors)
        warnings = [*map(str, errors), *(line for row in rows for line in row.warnings)]
        rows = _alike(rows, warnings)
        return _document(rows, page_size, warnings, len(openers) > len(rows), progress)


def _alike(rows: Sequence[Row], warnings: list[str]) -> list[Row]:
    """Return the images that cover the same addresses, as most do, or the first where as many others do."""
    layouts = [row.layout.tobytes() for row in rows]
    most = max(layouts, key=layouts.count)
    for row, layout in zip(rows, layouts, strict=True):
        if layout != most:
            pages = len(rows[layouts.index(most)].contents)
            own = len(row.contents)
            what = f"{own:,} pages, others {pages:,}" if own != pages else "pages at other addresses"
            warnings.append(f"{row.path}: covers {what}: left out")
    return [row for row, layout in zip(rows, layouts, strict=True) if layout == most]


def _document(
    rows: Sequence[Row], page_size: int, warnings: list[str], left_out: bool, progress: Progress
) -> SnapshotsDocument:
    contents = [row.contents for row in rows]
    best, _ = best_snapshot(contents)
    kinds: list[tuple[Literal["first", "best", "built"], str, U64Array]] = [
        ("first", rows[0].path, contents[0]),
        ("best", rows[best].path, contents[best]),
        ("built", "", built_base(contents)),
    ]
    bases: list[SnapshotBase] = []
    of_first: list[Shared] = []
    for place, (name, path, base) in enumerate(kinds):
        compared = Base(base, page_size)
        found = []
        for number, one in enumerate(contents):
            progress("comparing", place * len(rows) + number, len(kinds) * len(rows))
            found.append(compared.shared(one))
        of_first = of_first or found
        bases.append(_base(name, path, len(base), found))
    return {
        "schema": SCHEMA,
        "page_size": page_size,
        "pages": len(contents[0]),
        "separate_pages": len(rows) * len(contents[0]),
        "snapshots": [_snapshot(row, one) for row, one in zip(rows, of_first, strict=True)],
        "bases": bases,
        "partial": left_out or any(row.partial for row in rows),
        "warnings": warnings,
    }


def _snapshot(row: Row, shared: Shared) -> Snapshot:
    return {
        "path": row.path,
        "zero_pages": row.zero,
        "unknown_pages": row.unknown,
        "same_offset_pages": shared.same_offset,
        "any_offset_pages": shared.anywhere,
        "run_64k_pages": shared.in_runs[0],
        "run_2m_pages": shared.in_runs[1],
    }


def _base(name: Literal["first", "best", "built"], path: str, pages: int, found: Sequence[Shared]) -> SnapshotBase:
    same = sum(one.same_offset for one in found)
    return {
        "name": name,
        "path": path,
        "memory_pages": pages * (1 + len(found)) - same,
        "same_offset_pages": same,
        "any_offset_pages": sum(one.anywhere for one in found),
        "run_64k_pages": sum(one.in_runs[0] for one in found),
        "run_2m_pages": sum(one.in_runs[1] for one in found),
    }
