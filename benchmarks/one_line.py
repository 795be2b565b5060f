"""What goes wrong in a benchmark, as one line and an exit code."""

import functools
import subprocess
import sys
from pathlib import Path

from pksm.errors import PksmError


def one_line(main):
    """Decorate main(argv): an error that its user can mend is a line on stderr, and an interrupt is none."""

    @functools.wraps(main)
    def guarded(argv):
        try:
            return main(argv)
        except (PksmError, OSError, subprocess.SubprocessError) as error:
            print(f"benchmarks/{Path(main.__code__.co_filename).name}: {error}", file=sys.stderr)
            return getattr(error, "exit_code", 1)
        except KeyboardInterrupt:
            return 130

    return guarded
