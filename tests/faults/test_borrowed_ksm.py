"""Signals while the running kernel's ksmd is borrowed: it is given back, and no half document is printed."""

import json
import random
import signal

import pytest

from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed, write
from pksm.linux.ksm.files import knobs

from support import faults
from support.faults import COUNT, OPEN, READ, SIGNAL, WRITE, Fault

pytestmark = pytest.mark.kernel
KINDS = READ | WRITE | OPEN
COMMANDS = {
    "validate": ["validate", "--workload", "fork-after", "--pages", "64", "--json"],
    "bench": ["bench", "--against", "kernel", "--load", "f", "--pages", "64", "--repeats", "1", "--json"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    try:
        with Borrowed():
            pass
    except UnsupportedError as error:
        pytest.skip(str(error))
    scratch = tmp_path_factory.mktemp("scratch")
    shim = faults.build_shim(scratch)
    if shim is None:
        pytest.skip("no C compiler here")
    with faults.Server(shim, scratch) as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("name", COMMANDS)
def test_ksmd_is_given_back_after_a_signal_at_any_stage(server, tmp_path, name, number):
    write("sleep_millisecs", 23)  # not as the kernel has it by default
    try:
        before = knobs()
        calls = server.run(COMMANDS[name], tmp_path, Fault("count", KINDS, COUNT)).calls
        assert calls and knobs() == before
        for n in random.Random(f"{name} {number}").sample(range(1, calls), 2):
            ran = server.run(COMMANDS[name], tmp_path, Fault("signal", KINDS, SIGNAL, number), n)
            assert knobs() == before, n
            assert ran.code == 128 + number and ran.done and "Traceback" not in ran.err, (n, ran)
            assert not ran.out or json.loads(ran.out), "a whole document, or none"
    finally:
        write("sleep_millisecs", 20)
