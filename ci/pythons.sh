#!/bin/sh
# Prints `N path` for each python3.N from 3.11 on that is on PATH or was made by pyenv, one a minor version.
for minor in 11 12 13 14 15 16; do
    for python in "$(command -v python3.$minor)" "$HOME"/.pyenv/versions/3.$minor*/bin/python3.$minor; do
        # a shim of pyenv is there for versions that are not switched on
        if "$python" -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))" 2>/dev/null; then
            echo "$minor $python"
            break
        fi
    done
done
