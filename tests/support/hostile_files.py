"""Files that may hold anything: whatever comes of reading them is one line of ours or sane runs."""

import contextlib
import json
import tempfile

import numpy as np

from pksm import report, sources
from pksm.errors import PksmError
from pksm.extents import State
from pksm.fleet.mapping import map_files, stored
from pksm.fleet.rows import check as check_order
from pksm.scan import scan

MOST_COPIED = 64 << 20  # bytes of one region


def check_fingerprints(path):
    """Scan fingerprints and make all reports of them; return what came of it: `error`, or `runs`."""
    try:
        source = sources.open_target(path)
        with contextlib.closing(source):
            if source.kind != "fingerprints":
                return "error"  # another magic: raw memory
            result = scan([source])
    except PksmError as error:
        assert "\n" not in str(error) and path in str(error), repr(error)
        return "error"
    if result:
        totals = result["totals"]
        assert 0 <= totals["zero"] <= totals["pages"] and totals["distinct"] <= totals["pages"]
        assert json.loads(json.dumps(result, allow_nan=False)) and report.csv(result)
        report.table(result, matrix=True)
    return "runs"


def check_rows(path):
    """Count fingerprints as a fleet does; return what came of it: `error`, or `rows` in order."""
    with tempfile.TemporaryDirectory() as work:
        [mapped] = map_files([path], work, 1.0, in_sandbox=False)
        if isinstance(mapped, PksmError):
            assert "\n" not in str(mapped) and path in str(mapped), repr(mapped)
            return "error"
        check_order(stored(mapped.part), len(mapped.names))
    return "rows"


def check(path, page_size=4096):
    """Read an image to its end and return what came of it: `error`, or `runs` that a page store can take."""
    try:
        source = sources.open_target(path)
    except PksmError as error:
        assert "\n" not in str(error) and path in str(error), repr(error)
        return "error"

    def allocate(n_pages):
        if n_pages * page_size > MOST_COPIED:
            raise PksmError(f"{path}: too much at once")
        return sources.Allocation(np.zeros((n_pages, page_size), np.uint8))

    try:
        runs = [look_at(region, page_size) for region in source.regions(page_size, allocate, lambda pages: None)]
    except PksmError as error:
        assert "\n" not in str(error) and path in str(error), repr(error)
        return "error"
    finally:
        source.close()
    runs = np.concatenate(runs)
    runs = runs[np.argsort(runs["address"], kind="stable")]
    ends = runs["address"] + runs["pages"] * np.uint64(page_size)
    assert (ends > runs["address"]).all() and (ends[:-1] <= runs["address"][1:]).all(), "an address comes twice"
    assert int(runs["mapping"].max(initial=0)) < len(source.mappings) and source.lost >= 0
    assert not any("\n" in warning for warning in source.warnings)
    return "runs"


def look_at(region, page_size):
    """Check one region and touch every page of its buffer; return its runs."""
    runs = region.runs
    assert len(runs) and (runs["pages"] > 0).all() and (runs["state"] <= State.EXCLUDED).all()
    assert (np.diff(runs["address"].astype(object)) > 0).all(), "runs are out of order"
    data = runs[runs["state"] == State.DATA]
    if len(data):
        flat = region.buffer.reshape(-1)
        assert len(flat) % page_size == 0
        assert int((data["first"] + data["pages"]).max()) * page_size <= len(flat), "a run is not in the buffer"
        flat[::512].sum()
    return runs
