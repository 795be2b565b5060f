"""Programs of ours that run in interpreters of their own."""

import os
import sys


def command(program: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our files in an isolated interpreter.

    Isolated (-I) means that neither the current directory nor the environment decides what is imported. The file is
    named by its path, so that it is found however pksm was installed; it may import the standard library only.

    Args:
        program: the `__file__` of a module.
        arguments: what the program gets in sys.argv.
    """
    return [sys.executable, "-I", os.path.abspath(program), *arguments]
