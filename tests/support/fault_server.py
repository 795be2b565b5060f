"""The process that runs the command line with faults: it has everything loaded, and forks for each run.

python -m support.fault_server, with the shim of inject.c preloaded: a line of JSON in, a line out (see faults.py).
"""

import ctypes
import faulthandler
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback

SHIM = ctypes.CDLL(None)  # it is preloaded
POLL_SECONDS = 0.002


def arm(kinds: int, n: int, action: int, argument: int, lasting: int) -> None:
    """Arm faults in this process from now on."""
    SHIM.inject_arm(kinds, ctypes.c_long(n), action, argument, lasting)


def report() -> tuple[int, int]:
    """Return the calls that were counted, and how many of them went wrong."""
    calls, done = ctypes.c_long(), ctypes.c_long()
    SHIM.inject_report(ctypes.byref(calls), ctypes.byref(done))
    return calls.value, done.value


def load_all() -> None:
    """Load whatever a run could load."""
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401

    import pksm

    for module in pkgutil.walk_packages(pksm.__path__, "pksm."):
        if not module.name.endswith(("__main__", "_core")) and "demo_service" not in module.name:
            importlib.import_module(module.name)


def run_here(arguments: list[str], fault: list[int], seconds: float) -> None:
    """Run the command line with a fault and end this process as an interpreter would."""
    from pksm.__main__ import main

    sys.argv = ["pksm", *arguments]
    code = 1
    faulthandler.enable()  # where it dies
    faulthandler.dump_traceback_later(seconds)  # where it hangs
    try:
        try:
            arm(*fault)
            code = main()
        finally:
            SHIM.inject_disarm()
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120
    os._exit(code)


def streams(request: dict) -> None:
    """Give this process the streams that were asked for."""
    os.chdir(request["folder"])
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY),
                                    (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                                    (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):  # fmt: skip
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def serve(request: dict) -> dict:
    """Run once and return what became of it: the exit code, negative for a signal, and the report."""
    arm(0, 0, 0, 0, 0)
    child = os.fork()
    if child == 0:
        streams(request)
        os.setpgid(0, 0)
        os.environ.pop("LD_PRELOAD", None)
        run_here(request["arguments"], request["fault"], request["seconds"] - 1)
    end = time.monotonic() + request["seconds"]
    while not (waited := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return {"code": None, "calls": 0, "done": 0}
        time.sleep(POLL_SECONDS)
    calls, done = report()
    return {"code": os.waitstatus_to_exitcode(waited[1]), "calls": calls, "done": done}


def main() -> None:
    """Serve until the input ends."""
    load_all()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
