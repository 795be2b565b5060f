"""Fingerprints as a table in a Parquet file, for DuckDB, Polars, pandas and their like: written by pyarrow, extra `arrow`.

A row is a record: pages of one content in one mapping of one source. Zero pages have no rows; the metadata count them.
"""

import importlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

import numpy as np

from pksm.arrays import StructArray, U32Array
from pksm.arrow import MAGIC, library
from pksm.linux.new_file import new_file
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.file import FingerprintFile

METADATA = b"pksm.fingerprints"
ENOUGH_ROWS = 1 << 19  # of a row group


def export(
    path: str | os.PathLike[str],
    to: str,
    progress: Callable[[int], object] = lambda rows: None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Write a file of fingerprints as a Parquet file, and return how many rows it has. It appears whole or not at all.

    Args:
        path: of the file of fingerprints, with all contents or a sample.
        to: of the new file.
        progress: called with the rows written so far.
        hold: makes context managers that hold interrupts back while a part is written.

    Raises:
        UnsupportedError: pyarrow is not installed.
        UsageError: something else is at the path of the new file.
        UsageError: it holds no fingerprints.
        PksmError: it can't be read, or the new file can't be written.
    """
    arrow, rows = library(), 0
    parquet = importlib.import_module("pyarrow.parquet")
    with (
        closing(OpenFile(path)) as file,
        new_file(to, "a Parquet file", lambda head: head.startswith(MAGIC), 0o600) as new,
    ):
        whole = FingerprintFile(file)
        names = _Names(arrow, whole.table["sources"])
        schema = names.schema.with_metadata({METADATA: json.dumps(_about(whole)).encode()})

        def write(out: Any) -> None:
            nonlocal rows
            with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
                waiting: list[Any] = []

                def flush() -> None:
                    if waiting:
                        with hold():
                            writer.write_table(arrow.concat_tables(waiting))
                        waiting.clear()
                        progress(rows)

                for records in (*whole.records(), whole.heavy()):
                    waiting.append(names.table(records, schema))
                    rows += len(records)
                    if sum(map(len, waiting)) >= ENOUGH_ROWS:
                        flush()
                flush()

        new.write(write)
    return rows


def _about(whole: FingerprintFile) -> dict[str, Any]:
    sources = [
        {name: _text(source[name]) if name == "name" else source[name] for name in ("name", "pages", "zero_pages")}
        for source in whole.table["sources"]
    ]
    return {"page_size": whole.page_size, "keep": whole.keep, "keyed": bool(whole.key_check), "sources": sources}


class _Names:
    """The names of sources and mappings, each once, and tables that have them."""

    def __init__(self, arrow: Any, sources: list[dict[str, Any]]) -> None:
        self._arrow = arrow
        self._sources = arrow.array([_text(source["name"]) for source in sources], arrow.string())
        mappings = [_text(name) for source in sources for name in source["mappings"]]
        known = {name: place for place, name in enumerate(dict.fromkeys(mappings))}
        self._mappings = arrow.array(list(known), arrow.string())
        self._places = np.array([known[name] for name in mappings], np.int32)
        counts = np.array([len(source["mappings"]) for source in sources], np.int64)
        self._counts, self._firsts = counts, np.cumsum(counts) - counts
        named = arrow.dictionary(arrow.int32(), arrow.string())
        self.schema = arrow.schema(
            [
                arrow.field("sum", arrow.uint64(), nullable=False),
                arrow.field("tail", arrow.uint64(), nullable=False),
                arrow.field("pages", arrow.uint32(), nullable=False),
                arrow.field("source", named, nullable=False),
                arrow.field("mapping", named),
                arrow.field("frame", arrow.uint32()),
            ]
        )

    def table(self, records: StructArray, schema: Any) -> Any:
        """Return records (RECORD) as a table."""
        arrow, source, mapping = self._arrow, records["source"].astype(np.int64), records["mapping"].astype(np.int64)
        known = mapping < self._counts[source]
        places = np.zeros(len(records), np.int32)
        places[known] = self._places[(self._firsts[source] + mapping)[known]]
        make = arrow.DictionaryArray.from_arrays
        columns = [
            arrow.array(np.ascontiguousarray(records["sum"])),
            arrow.array(np.ascontiguousarray(records["tail"])),
            arrow.array(_pages(records)),
            make(arrow.array(source.astype(np.int32)), self._sources),
            make(arrow.array(places, mask=~known), self._mappings),
            arrow.array(np.ascontiguousarray(records["frame"]), mask=records["frame"] == 0),
        ]
        return arrow.Table.from_arrays(columns, schema=schema)


def _pages(records: StructArray) -> U32Array:
    """Return the pages of each record; a frame that several map counts for the first source, and in the others not."""
    pages: U32Array = records["count"].copy()
    shared = np.flatnonzero(records["frame"])
    order = shared[np.lexsort((records["source"][shared], records["frame"][shared]))]
    again = np.zeros(len(order), bool)
    again[1:] = np.diff(records["frame"][order].astype(np.int64)) == 0
    pages[order[again]] = 0
    return pages


def _text(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
