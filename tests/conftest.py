"""hypothesis profiles: dev (the default, quick), ci (`make test`, the same examples for everybody), long (before a
release); who runs beside whom.

The running kernel has one KSM: tests that use it wait for each other.
"""

import fcntl
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# In the background a shell starts us with SIGINT ignored, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
# So does nohup with SIGHUP.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadlines: the suite also runs on slow and busy machines, and no test of ours is about time.
settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=60, deadline=None, print_blob=True, derandomize=True)
settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("dev")

# Prices that were measured on this machine would make results differ from those of other machines.
os.environ["XDG_DATA_HOME"] = "/nonexistent/pksm-tests"


KSM = Path("/sys/kernel/mm/ksm")
USERS_OF_KSM = pytest.StashKey[set[Path]]()


def pytest_collection_modifyitems(config, items):
    config.stash[USERS_OF_KSM] = {item.path for item in items if item.get_closest_marker("kernel")}


@pytest.fixture(scope="module", autouse=True)
def ksm_alone(request):
    """Let files of tests that use the running kernel's KSM wait for each other, in other workers and runs too."""
    if request.path not in request.config.stash[USERS_OF_KSM] or not KSM.is_dir():
        yield
        return
    lock = os.open(KSM, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
