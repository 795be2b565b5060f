"""Checksums: C at every CPU level against the model, the stored vectors and their authors' own libraries."""

import json
import sys
import zlib
from pathlib import Path

import google_crc32c
import mmh3
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pksm import errors
from pksm.engine import native

from model import checksums as model
from support.pages import SIZES, at_every_level, store_of, unaligned

DATA = Path(__file__).parent
sys.path.insert(0, str(DATA))
import make_checksum_vectors  # noqa: E402

VECTORS = json.loads((DATA / "checksum_vectors.json").read_text(encoding="utf-8"))
LIBRARIES = {
    "xxh64": xxhash.xxh64_intdigest,
    "xxh64-trunc32": lambda page: xxhash.xxh64_intdigest(page) & 0xFFFFFFFF,
    "xxh3-64": xxhash.xxh3_64_intdigest,
    "xxh32": xxhash.xxh32_intdigest,
    "crc32c": google_crc32c.value,
    "crc32": zlib.crc32,
    "adler32": zlib.adler32,
    "murmur3-32": lambda page: mmh3.hash(page, seed=0, signed=False),
}
SAMPLING = {"sampled", "sampled-lines", "partial"}
NAMES = [*model.FULL_PAGE, *sorted(SAMPLING)]


def random_page(size, seed):
    return np.random.default_rng(seed).bytes(size)


def sample_of(name, size):
    """What native.Checksum takes behind the name."""
    return make_checksum_vectors.samples(size)[name] if name in SAMPLING else ()


def in_python(name, page):
    sample = sample_of(name, len(page))
    if name == "partial":
        (first,), n_words = sample
        return model.partial(page, first, n_words)
    return model.sampled(page, *sample) if sample else model.FULL_PAGE[name](page)


def native_sum(name, page, *sample):
    """Return C's checksum of a page, the same at every CPU level. sample: where to look, else the vectors' places."""
    sample = sample or sample_of(name, len(page))
    return at_every_level(lambda: native.Checksum(name, *sample).of(page))


def batch_sums(store, name, *sample):
    return native.checksum_pages(store, native.Checksum(name, *sample), range(store.n_pages)).tolist()


def test_the_table_holds_exactly_these():
    widths = native.strategy_widths()
    assert sorted(widths) == sorted(NAMES)
    assert {name for name in widths if native.takes_sample(name)} == SAMPLING
    assert {name for name, width in widths.items() if width == 64} == {"aes", "fnv1a-64", "xxh64", "xxh3-64"}
    assert set(widths.values()) == {32, 64}
    assert next(iter(widths)) == "xxh3-64"  # the default comes first


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_vectors_never_change(name, size):
    vectors = [vector for vector in VECTORS if vector["size"] == size]
    assert {vector["recipe"] for vector in vectors} == set(make_checksum_vectors.RECIPES)
    for vector in vectors:
        page = make_checksum_vectors.page(size, vector["recipe"])
        assert native_sum(name, page) == int(vector[name], 16)
        if size <= 4096:  # the model takes its time
            assert in_python(name, page) == int(vector[name], 16)


def test_vectors_are_what_their_script_makes():
    """Run `python tests/engine/checksums/make_checksum_vectors.py` if the script is meant to have changed."""
    assert make_checksum_vectors.vectors() == VECTORS


def test_model_gives_the_published_lookup3_results():
    """The two sentences of lookup3's own self-test: 30 bytes, so 8 words with a length of 32 - 2."""
    sentence = b"Four score and seven years ago".ljust(32, b"\0")
    assert model.jhash2(sentence, initval=0 - 2) == 0x17770551
    assert model.jhash2(sentence, initval=1 - 2) == 0xCD628161


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES[:10])
@given(seed=st.integers(0, 2**32 - 1), offset=st.integers(0, 63))
def test_native_is_the_model_at_any_address(name, size, seed, offset):
    page = random_page(size, seed)
    expected = in_python(name, page) if size <= 512 else native_sum(name, page)  # the model takes its time
    assert native_sum(name, unaligned(page, offset)) == expected
    assert expected >> native.strategy_widths()[name] == 0


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("size", SIZES)
@given(seed=st.integers(0, 2**32 - 1))
def test_native_is_the_authors_library(name, size, seed):
    page = random_page(size, seed)
    assert native_sum(name, page) == LIBRARIES[name](page)


@given(data=st.data(), run=st.integers(1, 32), seed=st.integers(0, 2**32 - 1))
def test_sampled_takes_any_words_in_their_order(data, run, seed):
    words = data.draw(st.lists(st.integers(0, 32 - run), max_size=40))
    pages = [random_page(128, seed + i) for i in range(9)]
    store, memory = store_of(pages)
    expected = [model.sampled(page, words, run) for page in pages]
    for name in ("sampled", "sampled-lines"):
        assert native_sum(name, pages[0], words, run) == expected[0]
        assert at_every_level(lambda: batch_sums(store, name, words, run)) == expected


@given(data=st.data(), run=st.integers(1, 32), seed=st.integers(0, 2**32 - 1))
def test_partial_takes_any_run_of_words(data, run, seed):
    first = data.draw(st.integers(0, 32 - run))
    pages = [random_page(128, seed + i) for i in range(9)]
    store, memory = store_of(pages)
    expected = [model.partial(page, first, run) for page in pages]

    assert at_every_level(lambda: batch_sums(store, "partial", [first], run)) == expected
    assert native_sum("partial", pages[0], [first], run) == expected[0]


def test_the_model_knows_published_results():
    """FIPS 197, appendix B: the first round of its example. Check values of the CRC catalogue; FNV's own vectors."""
    block = bytes.fromhex("193de3bea0f4e22b9ac68d2ae9f84808")
    key = bytes.fromhex("a0fafe1788542cb123a339392a6c7605")
    assert model.aes_round(block, key) == bytes.fromhex("a49c7ff2689f352b6b5bea43026a5049")
    assert model.crc32(b"123456789") == 0xCBF43926 and model.crc32c(b"123456789") == 0xE3069283
    assert model.fnv1a_64(b"foobar") == 0x85944171F73967E8
    assert model.adler32(b"Wikipedia") == 0x11E60398


def test_sampled_does_not_see_what_it_does_not_look_at():
    """The published faults blind-sample and sparse-zero-lost rest on this; full-page strategies see every byte."""
    looked_at = list(range(0, 1024, 16))
    blank, zero = bytearray(4096), native_sum("sampled", bytes(4096), looked_at)
    for word in range(1024):
        blank[word * 4] = 1
        assert (native_sum("sampled", blank, looked_at) == zero) == (word not in looked_at)
        blank[word * 4] = 0


@pytest.mark.parametrize("name", sorted(model.FULL_PAGE))
@pytest.mark.parametrize("size", [8, 64, 128, 256, 4096])
def test_full_page_strategies_see_every_byte(name, size):
    checksum = native.Checksum(name)
    page = bytearray(random_page(size, size))
    before = checksum.of(page)
    for at in range(size):
        page[at] ^= 0x10
        assert checksum.of(page) != before
        page[at] ^= 0x10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, 64, 256, 4096])
@given(seeds=st.lists(st.integers(0, 5), min_size=1, max_size=130), data=st.data(), offset=st.integers(0, 63))
def test_batches_are_one_by_one(name, size, seeds, data, offset):
    """Batches have kernels of their own that take several pages side by side."""
    contents = [random_page(size, seed) if seed else bytes(size) for seed in seeds]
    store, memory = store_of(contents, offset)
    pages = data.draw(st.lists(st.integers(0, len(contents) - 1), max_size=100))
    sample = sample_of(name, size)
    alone = native.Checksum(name, *sample)
    one_by_one = {seed: alone.of(content) for seed, content in zip(seeds, contents, strict=True)}
    expected = [one_by_one[seeds[page]] for page in pages]
    out = np.zeros(len(pages), np.uint64)

    def batch():
        assert native.checksum_pages(store, native.Checksum(name, *sample), pages, out) is out
        return out.tolist()

    assert at_every_level(batch) == expected
    assert native.checksum_pages(store, native.Checksum(name, *sample), pages).tolist() == expected


def test_what_can_not_be_right_is_refused():
    store, memory = store_of([bytes(64)])
    xxh3 = native.Checksum("xxh3-64")
    with pytest.raises(errors.PageError):
        native.checksum_pages(store, xxh3, [0, 1])
    for out in (np.zeros(2, np.uint64), np.zeros(1, np.uint32)):
        with pytest.raises(ValueError):
            native.checksum_pages(store, xxh3, [0], out)
    with pytest.raises(ValueError):
        native.Checksum("sampled")
    for words, run in (([0, 1], 1), ([], 1), ([0], 0)):
        with pytest.raises(ValueError):
            native.Checksum("partial", words, run)
    with pytest.raises(ValueError):
        native.Checksum("sampled-lines", [1], 16).of(bytes(64))
    with pytest.raises(ValueError):
        native.Checksum("crc32c", [1, 2])
    with pytest.raises(ValueError):
        native.Checksum("sampled", [16]).of(bytes(64))


def test_a_table_of_checksums_that_do_not_fit_the_page_is_refused():
    store, memory = store_of([bytes(64)] * 2)
    slots, kept = np.zeros(8, native.SLOT), np.zeros(2, np.uint32)
    with pytest.raises(ValueError, match="no word 16"):
        native.yardstick_table(store, native.Checksum("sampled", [16]), [0, 1], slots, kept)
