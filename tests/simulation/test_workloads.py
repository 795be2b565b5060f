"""The static loads: their ground truth against the bytes themselves, their mix, and their reproducibility."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from pksm.errors import UsageError
from pksm.simulation.workloads import LOADS, loads, make

N = 2048
SIZES = [8, 64, 512, 4096]

# Digest of 300 pages of 64 bytes of each load one after the other, seed 7. Stored results and the loads of other
# contestants depend on these bytes: change them only on purpose, with the value the failing test prints.
DIGEST = "84d61e1ecfddfdd57dc9e4ca89486e2ffcdb937a7005a43f41490995c3f9334e"


def built(name, n_pages=N, page_size=4096, seed=0):
    out = np.full((n_pages, page_size), 0xA5, dtype=np.uint8)
    return out, make(name, out, seed)


def group_sizes(load):
    """Pages of each content that is not zero."""
    return np.bincount(load.contents)[1:]


@pytest.mark.parametrize("page_size", SIZES)
@pytest.mark.parametrize("name", LOADS)
def test_equal_ids_mean_equal_bytes(name, page_size):
    out, load = built(name, page_size=page_size)
    pages = [row.tobytes() for row in out]
    assert load.name == name
    assert load.contents.dtype == np.uint32 and load.contents.shape == (N,)
    pairs = set(zip(pages, load.contents.tolist(), strict=True))
    assert len(pairs) == len(set(pages)) == len(set(load.contents.tolist()))
    assert (load.contents == 0).tolist() == [not any(page) for page in pages]
    assert load.expected() == {
        "pages": N,
        "zero": sum(not any(page) for page in pages),
        "distinct": len(set(pages)),
        "duplicates": sum(any(page) for page in pages) - len({page for page in pages if any(page)}),
    }


@pytest.mark.parametrize("n_pages", [0, 1, 2, 3, 17, 100])
@pytest.mark.parametrize("name", LOADS)
def test_any_number_of_pages(name, n_pages):
    out, load = built(name, n_pages, page_size=16)
    pages = {row.tobytes() for row in out}
    assert load.expected()["pages"] == n_pages
    assert load.expected()["distinct"] == len(pages) == len(set(load.contents.tolist()))


@pytest.mark.parametrize("page_size", SIZES)
@pytest.mark.parametrize("name", LOADS)
def test_seed_decides_the_bytes(name, page_size):
    first, load = built(name, page_size=page_size, seed=1)
    again, load_again = built(name, page_size=page_size, seed=1)
    other, _ = built(name, page_size=page_size, seed=2)
    assert np.array_equal(first, again) and np.array_equal(load.contents, load_again.contents)
    assert (first != other).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("name", LOADS)
def test_block_size_does_not_show(name, monkeypatch):
    whole, _ = built(name, 300, 64)
    monkeypatch.setattr(loads, "BLOCK_BYTES", 64 * 7)
    assert np.array_equal(whole, built(name, 300, 64)[0])


def test_bytes_are_the_same_everywhere():
    digest = hashlib.sha256(b"".join(built(name, 300, 64, seed=7)[0].tobytes() for name in LOADS)).hexdigest()
    assert digest == DIGEST, "the loads made other bytes; if that is wanted, store the new digest above"


@pytest.mark.parametrize("name", ["a", "e", "p"])
def test_all_unique(name):
    _, load = built(name)
    assert load.expected() == {"pages": N, "zero": 0, "distinct": N, "duplicates": 0}


def test_b_is_half_pairs():
    _, load = built("b")
    assert np.bincount(group_sizes(load)).tolist() == [0, N // 2, N // 4]


def test_c_is_groups_of_16():
    _, load = built("c")
    assert group_sizes(load).tolist() == [16] * (N // 16)


def test_d_is_a_third_zero():
    _, load = built("d")
    assert load.expected()["zero"] == N * 30 // 100
    assert (group_sizes(load) == 1).all()


@pytest.mark.parametrize("page_size", [64, 4096])
def test_e_differs_in_the_last_8_bytes_only(page_size):
    out, _ = built("e", page_size=page_size)
    assert (out[:, :-8] == out[0, :-8]).all()
    assert out[0, :-8].any()
    assert len(np.unique(out[:, -8:], axis=0)) == N


def zero_prefixes(out):
    """Length in bytes of each page's run of zeros at its start; for pages that are not all zero."""
    return (out != 0).argmax(axis=1)


def test_p_has_zero_prefixes_of_every_length():
    out, _ = built("p", page_size=4096)
    lengths = zero_prefixes(out)
    assert lengths.max() < 4096 - 8 + 4  # the label follows; its first bytes may be zero by chance
    counts = np.histogram(lengths, bins=8, range=(0, 4096))[0]
    assert (abs(counts - N / 8) < 5 * np.sqrt(N / 8)).all()
    assert len(np.unique(lengths % 8)) == 8


def test_f_is_the_realistic_mix():
    out, load = built("f", page_size=4096)
    words = out.view("<u8")
    sizes = group_sizes(load)
    zero = load.contents == 0
    unique = ~zero & (np.bincount(load.contents)[load.contents] == 1)
    pointers = ((words[:, 64:-1] >> np.uint64(40)) == 0x7F).all(axis=1)
    prefixed = ~zero & (zero_prefixes(out) > 8)
    percent = N / 100
    assert zero.sum() == pytest.approx(15 * percent, abs=1)
    assert (~zero & ~unique).sum() == pytest.approx(25 * percent, abs=2)
    assert sizes.max() <= 32 and set(sizes[sizes > 1]) <= set(range(2, 33)) and len(set(sizes)) > 10
    assert (unique & pointers).sum() == pointers.sum() == pytest.approx(20 * percent, abs=1)
    assert (words[pointers, 64:-1] % 8 == 0).all()
    headers, shared = np.unique(words[pointers, :64], axis=0, return_counts=True)
    assert len(headers) <= 64 and shared.max() > 1
    assert (unique & prefixed).sum() == prefixed.sum() == pytest.approx(20 * percent, abs=0.3 * percent)
    assert (unique & ~pointers & ~prefixed).sum() == pytest.approx(20 * percent, abs=0.4 * percent)


@pytest.mark.parametrize("name", ["b", "c", "d", "f"])
def test_copies_are_scattered(name):
    _, load = built(name)
    neighbours = (load.contents[1:] == load.contents[:-1]).mean()
    by_chance = (np.bincount(load.contents) ** 2).sum() / N**2
    assert neighbours < by_chance + 0.04


def test_unaligned_memory_does():
    raw = np.zeros(64 * 100 + 3, dtype=np.uint8)
    out = raw[3:].reshape(100, 64)
    make("f", out)
    assert np.array_equal(out, built("f", 100, 64)[0])
    assert not raw[:3].any()


@pytest.mark.parametrize(
    "name, out, seed, said",
    [
        ("z", np.zeros((4, 64), np.uint8), 0, "unknown load 'z': choose from a, b"),
        ("a", np.zeros((4, 64), np.uint8), -1, "seed -1"),
        ("a", np.zeros((4, 64), np.uint8), 1.5, "seed 1.5"),
        ("a", np.zeros(64, np.uint8), 0, "uint8 array"),
        ("a", np.zeros((4, 64), np.int8), 0, "uint8 array"),
        ("a", bytearray(64), 0, "uint8 array"),
        ("a", np.zeros((4, 48), np.uint8), 0, "page size 48"),
        ("a", np.zeros((4, 4), np.uint8), 0, "page size 4"),
        ("a", np.zeros((64, 64), np.uint8).T[:, ::2], 0, "contiguous"),
        ("a", np.frombuffer(bytes(256), np.uint8).reshape(4, 64), 0, "writable"),
    ],
)
def test_bad_input_is_one_clear_line(name, out, seed, said):
    with pytest.raises(UsageError) as error:
        make(name, out, seed)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_names_come_without_numpy():
    code = "import sys, pksm.simulation.workloads as w; assert len(w.LOADS) == 7; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_load_has_a_sentence():
    assert list(LOADS) == list("abcdefp") == list(loads._MIXES)
    assert all(sentence.endswith(".") for sentence in LOADS.values())
