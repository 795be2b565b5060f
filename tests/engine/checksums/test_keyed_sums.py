"""Sums with a key: the reference's vectors, and the slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine import native

from model.checksums import siphash128

KEY = bytes(range(16))
# SipHash-2-4-128 of the bytes 0, 1, 2 ... with the key 0, 1 ... 15, by their number: openssl mac -macopt size:16
# -macopt hexkey:000102030405060708090a0b0c0d0e0f SIPHASH
VECTORS = {
    0: "a3817f04ba25a8e66df67214c7550293",
    15: "5493e99933b0a8117e08ec0f97cfc3d9",
    16: "6ee2a4ca67b054bbfd3315bf85230577",
}
WORDS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("length", VECTORS)
def test_the_twin_is_the_reference(length):
    assert siphash128(KEY, bytes(range(length))).hex() == VECTORS[length]


def test_the_vector():
    sums = np.frombuffer(bytes(range(16)), "<u8").reshape(1, 2).copy()
    native.keyed_sums(KEY, sums)
    assert sums.tobytes().hex() == VECTORS[16]


@given(st.binary(min_size=16, max_size=16), st.lists(st.tuples(WORDS, WORDS), max_size=20))
def test_keyed_sums(key, given_sums):
    sums = np.array([*given_sums, (0, 0)], np.uint64)
    expected = [siphash128(key, row.tobytes()) if row.any() else bytes(16) for row in sums]
    native.keyed_sums(key, sums)
    assert [row.tobytes() for row in sums] == expected


@pytest.mark.parametrize("key, sums", [
    (b"x" * 15, np.zeros((1, 2), np.uint64)),
    (KEY, np.zeros(2, np.uint64)),
    (KEY, np.zeros((2, 2), np.int64)),
])  # fmt: skip
def test_what_is_refused(key, sums):
    with pytest.raises(ValueError):
        native.keyed_sums(key, sums)
