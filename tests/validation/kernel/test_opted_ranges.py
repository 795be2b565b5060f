"""Opting in only profitable ranges of a fork server: nearly all of the saving, for less scanning by the kernel's ksmd."""

import pytest

from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed

from support.fork_server import merged

pytestmark = pytest.mark.kernel


def test_profitable_ranges_save_nearly_all_for_half_of_the_scanning():
    try:
        with Borrowed() as borrowed:
            saved, scanned = merged(borrowed, "all")
            some_saved, some_scanned = merged(borrowed, "profitable")
    except UnsupportedError as error:
        pytest.skip(str(error))
    print(f"all: {saved} saved, {scanned} scanned; profitable: {some_saved} saved, {some_scanned} scanned")
    assert saved > 3 * 1024
    assert some_saved >= 0.95 * saved
    assert some_scanned <= 0.5 * scanned
