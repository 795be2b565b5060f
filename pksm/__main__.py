"""The command pksm, and python -m pksm: one line from the start, while modules are loaded, too."""

import sys


def main() -> int:
    """Run the command line and return the exit code."""
    try:
        from pksm.cli.main import main as run

        return run(own_process=True)
    except KeyboardInterrupt:
        sys.stderr.write("pksm: interrupted\n")
        return 130
    except (ImportError, MemoryError, OSError) as error:
        reason = " ".join(str(error).split()) or "out of memory"
        sys.stderr.write(f"pksm: a part of it could not be loaded: {reason}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
