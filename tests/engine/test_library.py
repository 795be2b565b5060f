"""What the C core says of itself, and what it gives to programs that set it up: called from here as from C."""

import pytest

import pksm
from pksm.engine import native
from pksm.engine.native.door import ffi, lib

STATUSES = ("PKSM_OK", "PKSM_EINVAL", "PKSM_EPAGE", "PKSM_EITEM", "PKSM_EBUS", "PKSM_ETREE")


def test_it_has_the_version_of_the_package():
    assert ffi.string(lib.pksm_version()).decode() == pksm.__version__


def test_each_status_has_a_text_of_its_own():
    texts = [ffi.string(lib.pksm_status_text(getattr(lib, name))).decode() for name in STATUSES]
    assert len(set(texts)) == len(STATUSES) and texts[0] == "no error" and "unknown status" not in texts
    assert ffi.string(lib.pksm_status_text(999)) == b"unknown status"


def test_strategies_are_found_by_name():
    for name, width in native.strategy_widths().items():
        found = lib.pksm_strategy_by_name(name.encode())
        assert ffi.string(found.name).decode() == name and found.width == width
    assert lib.pksm_strategy_by_name(b"nothing") == ffi.NULL


def test_default_rules_know_the_checksum_of_zeros():
    checksum = ffi.new("pksm_checksum *", {"sum": lib.pksm_strategy_by_name(b"crc32").sum})
    rules, zeros = ffi.new("pksm_rules *"), ffi.new("uint8_t[]", 4096)
    assert lib.pksm_rules_default(rules, checksum, zeros, 4096) == lib.PKSM_OK
    assert rules.zero_checksum == 0xC71C0011  # zlib.crc32(bytes(4096))
    assert (rules.order, rules.on_differ, rules.on_stale) == (lib.PKSM_CHECKSUM_CONTENT, lib.PKSM_RETRY, lib.PKSM_SKIP)


@pytest.mark.parametrize("page_size", [0, 4, 24, 4095])
def test_default_rules_refuse_what_is_no_page_size(page_size):
    checksum = ffi.new("pksm_checksum *", {"sum": lib.pksm_strategy_by_name(b"crc32").sum})
    rules, zeros = ffi.new("pksm_rules *"), ffi.new("uint8_t[]", 4096)
    assert lib.pksm_rules_default(rules, checksum, zeros, page_size) == lib.PKSM_EINVAL
    assert rules.zero_checksum == 0 and rules.window == 0


def test_default_rules_refuse_zeros_that_are_none_and_no_function():
    checksum = ffi.new("pksm_checksum *", {"sum": lib.pksm_strategy_by_name(b"crc32").sum})
    rules, dirty = ffi.new("pksm_rules *"), ffi.new("uint8_t[]", b"\1" + bytes(63))
    assert lib.pksm_rules_default(rules, checksum, dirty, 64) == lib.PKSM_EINVAL
    assert lib.pksm_rules_default(rules, ffi.new("pksm_checksum *"), ffi.new("uint8_t[]", 64), 64) == lib.PKSM_EINVAL
