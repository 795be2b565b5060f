"""All targets in Python by name; only what a target needs is loaded when it is asked for."""

import importlib

from fuzz.target import Target

SUBJECTS = {
    "files": ("core", "guest", "lime", "avml", "kdump", "flattened", "raw", "fingerprints"),
    "proc": ("stat", "status", "smaps", "schedstat", "pagemap", "program", "cgroup", "ksm"),
    "traces": ("trace", "truth"),
    "recordings": ("recording", "segment"),
    "names": ("policies", "checksums"),
    "checkpoints": ("checkpoint",),
}
NAMES = tuple(name for names in SUBJECTS.values() for name in names)


def target(name: str) -> Target:
    """Return a target by its name."""
    subject = next(subject for subject, names in SUBJECTS.items() if name in names)
    found: Target = importlib.import_module(f"fuzz.targets.{subject}").TARGETS[name]
    return found
