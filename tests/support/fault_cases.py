"""The commands that are run with faults, and what has to hold of each run, whatever went wrong."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fuzz.targets.files import PAGE, avmls, cores, fingerprint_files, page

from support.faults import ALLOC, SIGNAL, WRITE, Fault, Ran
from support.writers import kdump, lime

CHILD = """
import mmap
memory = mmap.mmap(-1, 64 * 4096)
memory[: 32 * 4096] = bytes(range(256)) * 16 * 32
print(flush=True)
input()
"""
OLD = b"what was there before"
DOCUMENTED = {0, 1, 2, 3, 77, 141}  # exit codes, without those of signals


class Case(NamedTuple):
    """A command. form: of what it prints: json, or csv, text, which end with a newline. output: a file it makes.

    is_whole: whether that file's bytes are all that it should hold.
    """

    name: str
    arguments: list[str]
    form: str = "text"
    output: str | None = None
    is_whole: Callable[[bytes], bool] = bool


def cases(pid: int) -> list[Case]:
    """Return the commands. pid: of a process that can be read."""
    image, small = ["--page-size", str(PAGE)], ["--pages", "128"]
    command = ["--after", "0", "--", "sleep", "600"]
    return [
        Case("raw", ["scan", *image, "raw.img"]),
        Case("core", ["scan", "--json", *image, "core.img"], "json"),
        Case("lime", ["scan", "--csv", *image, "lime.img"]),
        Case("avml", ["scan", "--json", *image, "avml.img"], "json"),
        Case("kdump", ["scan", *image, "kdump.img"]),
        Case("flattened", ["scan", "--json", *image, "flattened.img"], "json"),
        Case("several", ["scan", "--json", "--matrix", *image, "raw.img", "core.img", "lime.img"], "json"),
        Case("pid", ["scan", "--json", "--pid", str(pid)], "json"),
        Case("freeze", ["scan", "--freeze", "--pid", str(pid)]),
        Case("command", ["scan", "--json", *command], "json"),
        Case("keep", ["fingerprint", *image, "-o", "old.fp", "raw.img", "lime.img"], "text", "old.fp", _is_prints),
        Case("fingerprints", ["scan", "--json", "one.fp", "two.fp"], "json"),
        Case("profile", ["checksum", "profile", *image, "--strategies", "xxh3-64,crc32c", "--json", "raw.img"], "json"),
        Case("plot", ["checksum", "profile", *image, "--strategies", "crc32c", "--plot", "old.svg", "raw.img"], "text",
             "old.svg", lambda data: data.rstrip().endswith(b"</svg>")),
        Case("sum", ["checksum", "sum", *image, "crc32c", "raw.img"]),
        Case("list", ["checksum", "list", "--json"], "json"),
        Case("simulate", ["simulate", "b", "--json", *small], "json"),
        Case("trace", ["simulate", "trace.jsonl", "--csv"]),
        Case("script", ["simulate", "script.py"]),
        Case("truth", ["truth", "W2", "--json"], "json"),
        Case("bench", ["bench", "--load", "f", "--repeats", "1", "--json", *small], "json"),
        Case("features", ["features"]),
        Case("help", ["scan", "--help"]),
    ]  # fmt: skip


def _is_prints(data: bytes) -> bool:
    return data.startswith(b"pksmhash") and len(data) > 64


TRACE = """\
{"op": "spawn", "process": "a"}
{"op": "mmap", "process": "a", "n": 64, "address": "0x100000", "name": "x"}
{"op": "write", "process": "a", "address": "0x100000", "content": {"base": 3, "mod": 10}, "n": 64}
{"t": 100, "op": "read", "label": "end"}
"""
SCRIPT = """\
def workload(machine, sim):
    pass
"""


def fill(folder: Path) -> None:
    """Write the files that the commands read, and those that they replace."""
    prints = fingerprint_files()
    kinds = {"one.fp": prints[0], "two.fp": prints[1], "old.fp": prints[1], "old.svg": b"<?xml version='1.0'?><svg></svg>",
             "raw.img": page(1) * 40 + page(0) * 9 + page(2) * 3, "core.img": cores()[0], "avml.img": avmls()[0]}  # fmt: skip
    kinds["lime.img"] = lime.lime([(0x1000, page(1) * 9 + page(2)), (0x100000, page(0) + page(4))])
    dump = kdump.kdump({1: page(1), 2: kdump.ZERO, 3: page(3), 70: page(2)}, block=PAGE, level=31)
    kinds |= {"kdump.img": dump, "flattened.img": kdump.flatten(dump, 400)}
    for name, data in kinds.items():
        (folder / name).write_bytes(data)
    (folder / "trace.jsonl").write_text(TRACE)
    (folder / "script.py").write_text(SCRIPT)


@contextmanager
def readable_process() -> Iterator[int]:
    """Give the number of a process that has some pages, and ends with us."""
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        yield child.pid
    finally:
        child.kill()
        child.communicate()


class Folder:
    """The files of the commands; they are compared after every run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        fill(path)
        self._before = self._now()

    def _now(self) -> dict[str, bytes]:
        return {entry.name: (self.path / entry.name).read_bytes() for entry in os.scandir(self.path)}

    def fault_of(self, case: Case, ran: Ran) -> str:
        """Return what became of the files that should not have; put them back as they were."""
        now, said = self._now(), ""
        for name in now.keys() | self._before.keys():
            old, new = self._before.get(name), now.get(name)
            if new == old:
                continue
            if (
                name == case.output
                and new is not None
                and case.is_whole(new)
                and ran.code in (0, 1, 3, 130, 129, 131, 143)
            ):
                (self.path / name).write_bytes(old)
                continue
            said = f"{name} is {'new' if old is None else 'gone' if new is None else 'half written'}"
            if old is None:
                (self.path / name).unlink()
            else:
                (self.path / name).write_bytes(old)
        return said


def fault_of(case: Case, ran: Ran, fault: Fault, folder: Folder) -> str:
    """Return what is wrong with a run in which something went wrong; "" if nothing is."""
    codes = DOCUMENTED | ({128 + fault.argument} if fault.action == SIGNAL else set())
    speechless = fault.kinds == WRITE  # the line, too, is written
    left = folder.fault_of(case, ran)
    if ran.code is None:
        return "it hangs"
    if ran.code == -signal.SIGSEGV and fault.kinds == ALLOC:
        return ""  # our C allocates nothing, so it was not ours: numpy overlooks some of its own that fail
    if ran.code < 0:
        return f"died of signal {-ran.code}"
    if "Traceback" in ran.err:
        return "a traceback"
    if ran.code not in codes:
        return f"exit code {ran.code}"
    if ran.code not in (0, 3, 141) and not ran.err and not speechless:
        return f"no line for exit code {ran.code}"
    if any(not line.startswith("pksm: ") for line in ran.err.splitlines()) and not speechless:
        return "a line that is not ours"
    return left or _fault_of_output(case, ran)


def _fault_of_output(case: Case, ran: Ran) -> str:
    if not ran.out:
        return "exit code 0 and no result" if ran.code == 0 else ""
    if "cannot write the result" in ran.err or ran.code == 141:
        return ""  # what was written by then is there
    if case.form == "json":
        try:
            json.loads(ran.out)
        except ValueError:
            return "half a document"
    return "" if ran.out.endswith("\n") else "half a document"


def key_of(wrong: str, ran: Ran) -> str:
    """Return what a fault has in common with others of its kind, for a list of kinds."""
    last = [line for line in ran.err.splitlines() if re.match(r"\w+(\.\w+)*(Error|Exit|Interrupt)\b", line)]
    where = re.findall(r'File ".*?/pksm/(.*?)", line (\d+)', ran.err)
    return f"{wrong}: {last[-1] if last else ran.err[-120:]!r} at {':'.join(where[-1]) if where else '?'}"
