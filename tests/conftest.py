"""hypothesis profiles: dev (the default, quick), ci (`make test`), long (before a release); who runs beside whom.

With several workers a file of tests is for one of them, because its fixtures are made once; the running kernel has one
KSM, so all that use it are for one worker.
"""

import signal

import pytest
from hypothesis import settings

# In the background a shell starts us with SIGINT ignored, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadlines: the suite also runs on slow and busy machines, and no test of ours is about time.
settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, print_blob=True)
settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile("dev")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items):
    for item in items:
        group = "kernel" if item.get_closest_marker("kernel") else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
