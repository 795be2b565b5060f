"""The profiler of checksums: speed, truth, blindness and consequence of every strategy, on any memory.

`profile` measures and returns the document `pksm.checksum/1`; a strategy that can't be measured is named in its
warnings and left out.
"""

import time

import pksm
from pksm import bench, checksums
from pksm.errors import BusError, PksmError, UsageError
from pksm.profiler import blindness, consequence, ksm, speed, truth
from pksm.profiler.advice import recommend
from pksm.profiler.consequence import CHANGED_SHARE

SCHEMA = "pksm.checksum/1"


def profile(subjects, strategies=None, page_size=4096, seed=0, changes=CHANGED_SHARE, progress=lambda *what: None):
    """Profile strategies on each subject in turn and return the document, a dict ready for json.

    subjects: context managers that give a subject.Subject; strategies: names with options (all by default); changes:
    the share of unshared pages that change by a word and are to be merged then. progress(subject, strategy, stage).
    UsageError for what can't be profiled; PksmError when no strategy worked.
    """
    if not 0 <= changes <= 0.5:
        raise UsageError(f"changes {changes}: a share of the pages, from 0 to 0.5")
    names = list(dict.fromkeys(checksums.names() if strategies is None else strategies))
    for name in names:
        checksums.describe(name, page_size)
    document = {
        "schema": SCHEMA,
        "pksm": pksm.__version__,
        "machine": bench.machine(),
        "page_size": page_size,
        "seed": seed,
        "changes": changes,
        "subjects": [],
        "strategies": [],
        "warnings": [],
        "partial": False,  # a strategy or a source was left out
    }
    began = time.perf_counter(), time.process_time()
    with bench.pinned():
        for subject in subjects:
            with subject as opened:
                told = _profile(opened, names, seed, changes, progress, document)
            names = [name for name in names if name in told]
    document["cost"] = {"wall_s": time.perf_counter() - began[0], "cpu_s": time.process_time() - began[1]}
    return document


def _profile(subject, names, seed, changes, progress, document):
    """Add one subject's rows to the document and return the strategies that worked."""
    warnings = document["warnings"]
    warnings += subject.warnings
    document["partial"] |= subject.partial
    watch = speed.Stopwatch(subject, seed)
    progress(subject.name, None, "yardsticks")
    yardsticks = watch.yardsticks()
    rows, made = {}, {}
    for name in names:
        progress(subject.name, name, "speed and truth")
        try:
            checksum = checksums.make(name, subject.page_size, seed)
            ns, sums = watch.checksum(checksum)
            rows[name] = {
                "subject": subject.name,
                **checksums.describe(name, subject.page_size),
                **speed.as_columns(ns, subject.page_size, yardsticks["read"]),
                **truth.measure(subject, checksum, sums),
            }
            progress(subject.name, name, "consequence")
            rows[name] |= consequence.measure(subject, name, seed, changes) | ksm.measure(subject, name, seed)
            made[name] = checksum
        except (BusError, UsageError):
            raise
        except PksmError as error:
            rows.pop(name, None)
            document["partial"] = True
            warnings.append(f"{name} is left out: {error}")
    if not rows:
        raise PksmError(f"{subject.name}: no strategy could be profiled: {warnings[-1]}")
    counts = blindness.Changes(subject, seed).missed(made, lambda kind: progress(subject.name, None, f"blindness, {kind}"))
    for name, row in rows.items():
        row["missed"] = blindness.as_columns(made[name], counts[name], subject.page_size)
    document["subjects"].append(
        {**subject.as_dict(), "yardsticks": yardsticks, "recommendation": recommend(list(rows.values()))}
    )
    document["strategies"] += rows.values()
    return list(rows)
