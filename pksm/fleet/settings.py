"""How a fleet is counted: what of it, where, and with how much memory."""

from __future__ import annotations

import re
from concurrent.futures import Executor
from dataclasses import dataclass

from pksm.errors import UsageError

MEMORY = 768 << 20  # that each process may take, by default
LEAST_MEMORY = 192 << 20
BASE_BYTES = 128 << 20  # of it, what a process takes besides rows: Python, modules, matrices
ROW_BYTES = 160  # that a row takes while it is counted, about


@dataclass(frozen=True)
class Settings:
    """How a fleet is counted.

    Args:
        keep: the share of contents to count, the same ones everywhere; 1: all, exactly.
        tenant: a regular expression whose first group, or match, in "HOST/VM" is the tenant; None: one for all.
        host: the same for the host, in the path of a file; None: the file's name without its ending.
        vm: the same for the VM, in the name of what was read on a host: all that have one there are one. None: each is one.
        work: a directory in which work is kept, to go on later; None: one for this run.
        workers: processes side by side; None: one for each CPU, if memory allows.
        memory: bytes that each process may take, about: contents are counted in as many ranges as it asks for.
        executor: who does the tasks instead, such as parallel.cluster.Cluster; it has to see the same files.
        in_sandbox: whether files are parsed in processes that can do nothing else.

    Raises:
        UsageError: a share or an amount of memory out of range, or an expression that is none.
    """

    keep: float = 1.0
    tenant: str | None = None
    host: str | None = None
    vm: str | None = None
    work: str | None = None
    workers: int | None = None
    memory: int = MEMORY
    executor: Executor | None = None
    in_sandbox: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise UsageError("must be more than 0 and at most 1", "keep")
        if self.memory < LEAST_MEMORY:
            raise UsageError(f"must be {LEAST_MEMORY >> 20}M at least", "memory")
        for name in ("tenant", "host", "vm"):
            try:
                re.compile(getattr(self, name) or "")
            except (re.error, RecursionError, OverflowError) as error:
                raise UsageError(f"is not a regular expression: {error}", "by") from None

    @property
    def rows(self) -> int:
        """How many rows a process may have in memory at a time."""
        most = getattr(self.executor, "bytes_each", None)  # a cluster's workers have limits of their own
        memory = self.memory if most is None else max(LEAST_MEMORY, min(self.memory, most))
        return (memory - BASE_BYTES) // ROW_BYTES
