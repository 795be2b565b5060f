"""The compilers that there are, and what they make."""

import os
import re
import subprocess
from pathlib import Path

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICT = ["-std=c11", *WARNINGS]


def commands(pattern):
    """The commands on PATH whose names match, each program once."""
    found = {}
    for folder in os.get_exec_path():
        for path in sorted(Path(folder).glob("*")) if os.path.isdir(folder) else []:
            if re.fullmatch(pattern, path.name) and os.access(path, os.X_OK):
                found.setdefault(path.resolve(), str(path))
    return sorted(found.values())


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def defined(library, *options):
    """The global names that a library defines."""
    lines = run("nm", "-P", "-g", "--defined-only", *options, library).splitlines()
    return {line.split()[0] for line in lines if not line.endswith(":")}
