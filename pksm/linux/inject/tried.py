"""Whether calls can be injected here, for having tried it."""

import subprocess

from pksm.errors import PksmError
from pksm.linux.inject.session import Call, inject

GETPID: Call = (39,)


def why_not() -> str:
    """Return why no call can be injected into a child of ours; "" if one can."""
    try:
        with subprocess.Popen(["sleep", "60"]) as child:
            try:
                [found] = inject(child.pid, [GETPID]).results
            finally:
                child.kill()
    except (PksmError, OSError) as error:
        return str(error)
    return "" if found == child.pid else "the call did not return what it should"
