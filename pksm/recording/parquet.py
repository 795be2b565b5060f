"""A recording as a table in a Parquet file, for DuckDB, Polars, pandas and their like: written by pyarrow, extra `arrow`.

A row is an event of a page, or an operation. Columns that have nothing to say are null.
"""

import importlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from pksm.arrow import MAGIC, library
from pksm.linux.new_file import new_file
from pksm.recording.events import WITH_CONTENT, Block, Kind, Operation
from pksm.recording.reader import Recording

KINDS = [*(kind.name.lower() for kind in Kind), "start", "fork", "exit", "map", "unmap", "advise"]
METADATA = b"pksm.recording"
ENOUGH_ROWS = 1 << 19  # of a row group
# By operation: the columns that its fields fill.
_FIELDS = {
    "start": ("pid", "name"),
    "fork": ("parent", "pid", "name"),
    "exit": (),
    "map": ("page", "pages", "name", "mergeable"),
    "unmap": ("page", "pages"),
    "advise": ("page", "pages", "mergeable"),
}


def export(
    path: str | os.PathLike[str],
    to: str,
    progress: Callable[[int], object] = lambda rows: None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Write a recording as a Parquet file, and return how many rows it has. The file appears whole or not at all.

    Args:
        path: of the recording.
        to: of the new file.
        progress: called with the rows written so far.
        hold: makes context managers that hold interrupts back while a part is written.

    Raises:
        UnsupportedError: pyarrow is not installed.
        UsageError: it is not a recording, or something else is at the path of the new file.
        PksmError: it can't be read, or not be written.
    """
    arrow = library()
    parquet = importlib.import_module("pyarrow.parquet")
    rows, waiting = 0, list[Any]()
    with (
        Recording(path) as recording,
        new_file(to, "a Parquet file", lambda head: head.startswith(MAGIC), 0o600) as new,
    ):
        schema = _schema(arrow).with_metadata({METADATA: json.dumps(recording.header).encode()})

        def write(file: Any) -> None:
            nonlocal rows
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:

                def flush() -> None:
                    if waiting:
                        with hold():
                            writer.write_table(arrow.concat_tables(waiting))
                        waiting.clear()

                for block in recording.blocks():
                    waiting.append(_table(arrow, schema, block))
                    rows += len(waiting[-1])
                    if sum(map(len, waiting)) >= ENOUGH_ROWS or len(waiting) >= ENOUGH_ROWS >> 5:
                        flush()
                        progress(rows)
                flush()

        new.write(write)
    return rows


def _schema(arrow: Any) -> Any:
    return arrow.schema([
        arrow.field("ms", arrow.int64(), nullable=False),
        arrow.field("space", arrow.uint32(), nullable=False),
        arrow.field("kind", arrow.dictionary(arrow.int8(), arrow.string()), nullable=False),
        ("page", arrow.uint64()),
        ("content", arrow.uint32()),
        ("pages", arrow.uint64()),
        ("pid", arrow.uint64()),
        ("parent", arrow.uint32()),
        ("name", arrow.string()),
        ("mergeable", arrow.bool_()),
    ])  # fmt: skip


def _table(arrow: Any, schema: Any, block: Block) -> Any:
    """Return the rows of a block: its operations, and then its events."""
    n, operations = len(block.pages), [_row(block, operation) for operation in block.operations]
    columns: dict[str, Any] = {field.name: arrow.nulls(n, field.type) for field in schema}
    contents: np.ndarray = np.zeros(n, np.uint32)
    has = WITH_CONTENT[block.kinds]
    contents[has] = block.contents
    columns |= {
        "ms": arrow.array(np.full(n, block.ms, np.int64)),
        "space": arrow.array(np.full(n, block.space, np.uint32)),
        "kind": arrow.DictionaryArray.from_arrays(arrow.array(block.kinds.astype(np.int8)), KINDS),
        "page": arrow.array(block.pages),
        "content": arrow.array(contents, mask=~has),
    }
    events = arrow.Table.from_pydict(columns, schema=schema)
    if not operations:
        return events
    kinds = arrow.array([row.pop("kind") for row in operations], arrow.int8())
    first = {
        field.name: arrow.DictionaryArray.from_arrays(kinds, KINDS)
        if field.name == "kind"
        else arrow.array([row.get(field.name) for row in operations], field.type)
        for field in schema
    }
    return arrow.concat_tables([arrow.Table.from_pydict(first, schema=schema), events])


def _row(block: Block, operation: Operation) -> dict[str, Any]:
    name, *fields = operation
    values = {"ms": block.ms, "space": block.space, "kind": KINDS.index(name)}
    found = values | dict(zip(_FIELDS[name], fields, strict=True))
    if "name" in found:
        found["name"] = found["name"].encode("utf-8", "replace").decode()
    return found
