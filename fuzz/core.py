"""The C core and its targets under sanitizers, compiled for libFuzzer or to replay inputs one by one."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fuzz import ROOT

TARGETS_IN = ROOT / "fuzz" / "c"
REPLAY = TARGETS_IN / "replay.c"
PREFIX = "c-"  # of the names of targets
FLAGS = "-std=c11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all -Wall -Wextra -Werror".split()
SANITIZERS = "address,undefined"
COMPILERS = ("clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19")


class BuildError(Exception):
    """A compiler's message."""


def targets() -> dict[str, Path]:
    """Return {name: source} of all targets in C."""
    return {PREFIX + path.stem: path for path in sorted(TARGETS_IN.glob("*.c")) if path != REPLAY}


def seeds(name: str) -> list[bytes]:
    """Make inputs to begin with, of several lengths: decisions in order, and by chance, the same each time."""
    sizes = (16, 64, 256, 1024, 4096)
    by_chance = [hashlib.shake_256(f"{name} {size}".encode()).digest(size) for size in sizes]
    return [bytes(at * 37 % 256 for at in range(size)) for size in sizes[:3]] + by_chance


def fuzzing_compiler() -> str | None:
    """Return the clang that has a libFuzzer here, None if there is none."""
    for compiler in filter(shutil.which, COMPILERS):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "empty.c"
            source.write_text("#include <stddef.h>\nint LLVMFuzzerTestOneInput(const void *p, size_t n);\n"
                              "int LLVMFuzzerTestOneInput(const void *p, size_t n) { return p == 0 && n; }\n")  # fmt: skip
            command = [compiler, f"-fsanitize=fuzzer,{SANITIZERS}", str(source), "-o", str(Path(folder) / "empty")]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return compiler
    return None


def build(compiler: str, folder: Path, names: Sequence[str], fuzzing: bool) -> dict[str, Path]:
    """Compile targets, as far as their sources have changed, and return {name: program}.

    Args:
        compiler: clang, or for replaying any that knows the sanitizers.
        folder: where objects and programs go.
        names: of targets.
        fuzzing: link libFuzzer; otherwise a program that replays the files it is given.

    Raises:
        BuildError: with what the compiler says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sanitize = [f"-fsanitize={'fuzzer-no-link,' if fuzzing else ''}{SANITIZERS}"]
    flags = [compiler, *FLAGS, *sanitize, f"-I{ROOT / 'csrc' / 'include'}", f"-I{ROOT / 'csrc'}"]
    headers = max(path.stat().st_mtime for place in ("csrc", "fuzz/c") for path in (ROOT / place).rglob("*.h"))
    sources = [*sorted((ROOT / "csrc").rglob("*.c")), *([] if fuzzing else [REPLAY])]
    jobs, objects = [], []
    for source in [*sources, *(targets()[name] for name in names)]:
        made = folder / f"{source.relative_to(ROOT).as_posix().replace('/', '-')}.o"
        if not made.exists() or made.stat().st_mtime < max(headers, source.stat().st_mtime):
            jobs.append([*flags, "-c", str(source), "-o", str(made)])
        objects.append(made)
    _run_all(jobs)
    shared = objects[: len(sources)]
    link = [compiler, f"-fsanitize={'fuzzer,' if fuzzing else ''}{SANITIZERS}", *map(str, shared)]
    programs = {name: folder / name for name in names}
    _run_all([
        [*link, str(made), "-o", str(program)] for made, program in zip(objects[len(sources) :], programs.values(), strict=True)
    ])  # fmt: skip
    return programs


def _run_all(commands: Sequence[Sequence[str]]) -> None:
    """Run commands, two at a time."""
    for at in range(0, len(commands), 2):
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for command in commands[at : at + 2]
        ]
        outputs = [process.communicate()[0] for process in running]
        for process, output in zip(running, outputs, strict=True):
            if process.returncode:
                raise BuildError(output)


def environment() -> dict[str, str]:
    """Return our environment with the sanitizers' options."""
    return os.environ | {"UBSAN_OPTIONS": "print_stacktrace=1", "ASAN_OPTIONS": "detect_leaks=0"}
