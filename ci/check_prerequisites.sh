#!/bin/sh
# Says in one line each what this machine lacks to build pksm, with the Debian package that brings it; exit 1 then.
# PYTHON and CC name the interpreter and the compiler to look at.
python=${PYTHON:-python3}
cc=${CC:-gcc}
status=0

missing() {
    echo "pksm: $1" >&2
    status=1
}

present() {
    command -v "$1" >/dev/null 2>&1
}

present git || missing "git not found: install the Debian package git"

if ! present "$cc"; then
    missing "C compiler $cc not found: install the Debian package gcc (or name another with CC=...)"
else
    # Compiled and linked: gcc may be there without the C library's headers and start files.
    scratch=$(mktemp -d) || exit 1
    trap 'rm -rf "$scratch"' EXIT
    printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' >"$scratch/probe.c"
    "$cc" "$scratch/probe.c" -o "$scratch/probe" 2>/dev/null ||
        missing "$cc finds no C library to build with: install the Debian package libc6-dev"
fi

if ! present "$python"; then
    missing "$python not found: install the Debian package python3 (or name another with PYTHON=...)"
elif ! "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
    version=$("$python" --version 2>&1)
    missing "$version is too old, 3.11 is needed: install Debian 12's package python3 (or name another with PYTHON=...)"
else
    headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -e "$headers/Python.h" ] ||
        missing "$python has no Python.h: install the Debian package python3-dev"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        missing "$python can't make virtual environments: install the Debian package python3-venv"
fi
exit $status
