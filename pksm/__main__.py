"""The command pksm, and python -m pksm: Ctrl-C is one line here from the start, while modules are loaded, too."""

import sys


def main() -> int:
    """Run the command line and return the exit code."""
    try:
        from pksm.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("pksm: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
