"""cffi recipe of pksm.engine.native._core (API mode): the cdef is the fenced parts of our headers as they stand."""

import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
HEADERS = [ROOT / "csrc" / "include" / "pksm.h", ROOT / "csrc" / "yardstick.h"]
# `make coverage` alone sets it: slow code that writes down which of its lines have run.
COUNTS_LINES = os.environ.get("PKSM_GCOV") == "1"
LINE_COUNTS = ["-O1", "--coverage", "-fprofile-update=atomic"]
BEGIN, END = "/* cffi: begin */", "/* cffi: end */"


def declarations(header):
    """Return the text between the two cffi markers of the header."""
    _, begin, rest = header.read_text(encoding="utf-8").partition(BEGIN)
    fenced, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise SystemExit(f"{header}: expected exactly one '{BEGIN}' followed by one '{END}'")
    return fenced


def relative(pattern):
    """Return the matching files relative to the project's root: setuptools wants no absolute paths."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def link_time_optimisation():
    """Return the flag for it, or nothing where this compiler, or its linker, does not offer it."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "probe.c")
        source.write_text("int probe(void);\nint probe(void) { return 0; }\n", encoding="utf-8")
        for flag in ("-flto=auto", "-flto"):
            options = [flag, "-Werror", "-shared", "-fPIC", "-o", f"{scratch}/probe.so"]
            try:
                subprocess.run([*compiler, *options, source], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                continue
            return [flag]
    return []


HOW = LINE_COUNTS if COUNTS_LINES else ["-O3", *link_time_optimisation()]
ffibuilder = FFI()
for header in HEADERS:
    ffibuilder.cdef(declarations(header))
ffibuilder.set_source(
    "pksm.engine.native._core",
    '#include "pksm.h"\n#include "yardstick.h"',
    sources=relative("csrc/**/*.c"),
    depends=relative("csrc/**/*.h"),
    include_dirs=["csrc/include", "csrc"],
    # cffi's wrappers never use `self`; our own sources are held to -Wunused-parameter by ci/sanitize.sh.
    extra_compile_args=["-std=c11", *HOW, "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    extra_link_args=["--coverage"] if COUNTS_LINES else HOW,
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(ROOT), verbose=True)
