"""Checksums of others: every kind of function, what is no function, and packages that are broken."""

import ctypes
import importlib.util
import struct
import subprocess
import sys
import warnings

import cffi
import numpy as np
import pytest
import xxhash

import pksm
from pksm.engine import native
from pksm.engine.checksums import plugins
from pksm.engine.checksums import strategies as checksums
from pksm.engine.native import door
from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables as ksm_tunables
from pksm.policies.ksmd.daemon import Ksmd

from support import ROOT
from support.installed import install
from support.pages import store_of

EXAMPLES = ROOT / "examples"
PAGES = [np.random.default_rng(i).bytes(256) for i in range(5)]


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """Each test has a registry of its own."""
    monkeypatch.setattr(plugins, "_registered", {})
    plugins._from_entry_points.cache_clear()
    yield
    plugins._from_entry_points.cache_clear()


def weighted_sum(page, start=0):
    words = struct.unpack(f"<{len(page) // 8}Q", page)
    return (start + sum(word * (2 * i + 1) for i, word in enumerate(words))) % 2**64


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sums_of(name):
    store, memory = store_of(PAGES)
    checksum = checksums.make(name, 256)
    assert [checksum.of(page) for page in PAGES] == native.checksum_pages(store, checksum, range(5)).tolist()
    return [checksum.of(page) for page in PAGES]


@pytest.mark.parametrize("kind", ["ctypes", "cffi"])
def test_a_c_function_by_its_address(kind, tmp_path):
    example(f"checksum_{kind}").register(tmp_path)
    assert sums_of(f"weighted-{kind}") == [weighted_sum(page, 17) for page in PAGES]
    assert checksums.describe(f"weighted-{kind}", 256)["users"] == "an example"
    assert checksums.names()[-1] == f"weighted-{kind}"


def test_numba_s_cfunc():
    pytest.importorskip("numba")
    example("checksum_numba").register()
    assert sums_of("weighted-numba") == [weighted_sum(page) for page in PAGES]


def test_anything_with_an_address_and_an_address_itself(tmp_path):
    library = ctypes.CDLL(str(example("checksum_ctypes").compiled(tmp_path)))
    address = ctypes.cast(library.weighted_sum, ctypes.c_void_p).value

    class Compiled:  # as numba.cfunc gives it
        pass

    compiled = Compiled()
    compiled.address = address
    for function in (address, compiled, ctypes.c_void_p(address)):
        checksums.register("mine", function)
        assert sums_of("mine") == [weighted_sum(page) for page in PAGES]
    for state in (struct.pack("<Q", 3), ctypes.pointer(ctypes.c_uint64(3)), cffi.FFI().new("uint64_t *", 3)):
        checksums.register("mine", address, state=state)
        assert sums_of("mine") == [weighted_sum(page, 3) for page in PAGES]


def test_a_python_callable_over_a_batch(monkeypatch):
    monkeypatch.setattr(plugins, "AT_ONCE_BYTES", 512)  # two pages a call
    example("checksum_numpy").register()
    assert sums_of("weighted-numpy") == [weighted_sum(page) for page in PAGES]


def test_a_callable_can_not_write_to_the_pages():
    def scribble(pages):
        pages[0, 0] = 1

    checksums.register("scribble", scribble)
    with pytest.raises(PksmError, match="scribble failed: ValueError"):
        sums_of("scribble")


@pytest.mark.parametrize(
    "gives, said",
    [
        (lambda pages: None, "gave NoneType"),
        (lambda pages: [1] * len(pages), "gave list"),
        (lambda pages: np.zeros(len(pages) + 1, np.uint64), r"gave uint64 \(2,\)"),
        (lambda pages: np.zeros((len(pages), 1), np.uint64), r"gave uint64 \(1, 1\)"),
        (lambda pages: np.zeros(len(pages)), r"gave float64 \(1,\)"),
        (lambda pages: np.zeros(len(pages), np.int64), r"gave int64 \(1,\)"),
        (lambda pages: np.full(len(pages), 256, np.uint64), "more than the 8 bits"),
        (lambda pages: 1 / 0, "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_callable_that_gives_something_else_is_a_clear_error(gives, said):
    checksums.register("wrong", gives, width=8)
    with pytest.raises(PksmError, match=said) as caught:
        checksums.make("wrong", 256).of(PAGES[0])
    assert "checksum plug-in wrong" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_any_unsigned_integers_will_do(dtype):
    checksums.register("first", lambda pages: pages[:, 0].astype(dtype), width=8)
    assert sums_of("first") == [page[0] for page in PAGES]


@pytest.mark.parametrize(
    "name, function, options, said",
    [
        ("xxh64", len, {}, "one of pksm's own"),
        ("adaptive", len, {}, "one of pksm's own"),
        ("a:b", len, {}, "a name is"),
        ("", len, {}, "a name is"),
        ("mine", "no function", {}, "neither"),
        ("mine", 0, {}, "neither"),
        ("mine", door.ffi.NULL, {}, "neither"),
        ("mine", door.ffi.cast("pksm_checksum_fn", 0), {}, "neither"),
        ("mine", ctypes.CFUNCTYPE(ctypes.c_uint64)(), {}, "neither"),
        ("mine", ctypes.c_void_p(), {}, "neither"),
        ("mine", len, {"width": 65}, "width 65"),
        ("mine", len, {"state": b"12345678"}, "only a C function"),
    ],
)
def test_what_can_not_be_a_plug_in_is_refused(name, function, options, said):
    with pytest.raises(UsageError, match=said):
        checksums.register(name, function, **options)
    assert name not in plugins.known()


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A place for installed packages: a function that installs one with these entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name, code, **points: install(tmp_path, name, code, plugins.ENTRY_POINTS, **points)


PACKAGE = """
import numpy as np
from pksm.checksums import Plugin
def first(pages): return pages[:, 0]
plugin = Plugin(first, width=8, about="tests")
def fails(pages): raise RuntimeError("no luck")
text = "no function"
"""


def test_plug_ins_of_packages_are_found_and_broken_ones_named(packages):
    points = {"bare": "first", "whole": "plugin", "broken": "fails", "text": "text", "missing": "nothing"}
    packages("one_with_checksums", PACKAGE, **points)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        known = plugins.known()
    assert sorted(known) == ["bare", "whole"]
    assert sums_of("bare") == sums_of("whole") == [page[0] for page in PAGES]
    assert checksums.widths()["whole"] == 8 and checksums.describe("whole", 256)["users"] == "tests"
    texts = [str(warning.message) for warning in caught]
    assert [text.split()[2] for text in texts] == ["broken", "missing", "text"]
    assert "RuntimeError: no luck" in texts[0] and all("pksm.checksums" in text for text in texts)


@pytest.mark.parametrize("order", ["content", "checksum", "checksum-content"])
def test_plug_ins_drive_pksmd(order, tmp_path):
    """In every order, exact where the checksum is, on memory that changes too."""
    example("checksum_numpy").register()
    example("checksum_ctypes").register(tmp_path)
    for name in ("weighted-numpy", "weighted-ctypes"):
        array = np.random.default_rng(1).integers(0, 24, (300, 64), np.uint8)
        array[:, 1:63] = 0  # some equal pages
        store = pksm.Store(64)
        first = store.add(array)
        host = pksm.FlatHost(store)
        values = pksm.preset("fixed").with_(checksum=name, order=order, pages_to_scan=70, period_seconds=1)
        daemon = pksm.Pksmd(host, values)
        pages = np.arange(first, first + 300, dtype=np.uint32)
        host.add(pages)
        rest(daemon)
        assert host.frames_saved == 300 - len(np.unique(array, axis=0)) + (~array.any(axis=1)).any()
        unshared = daemon.items.page[native.tree_items(daemon.items.table, native.UNSTABLE)]
        array[unshared - first] = [*range(64)]
        for _ in range(600):  # so that all are seen: the quota shrinks with what is left
            daemon.wake()
        rest(daemon)
        daemon.check(), host.check()
        if order != "content":  # which takes no harm, but is not exact while pages in the tree change
            assert len(unshared) > 20 and len(np.unique(host.frame_of[unshared])) == 1


@pytest.mark.parametrize("preset", ksm_tunables.PRESETS)
def test_a_python_callable_drives_ksmd_as_the_same_in_c_does(preset):
    def low_half(pages):
        return np.array([xxhash.xxh64_intdigest(page.tobytes()) & 0xFFFFFFFF for page in pages], np.uint64)

    checksums.register("low-half", low_half, width=32)
    random = np.random.default_rng(3)
    contents = random.integers(0, 9, (60, 64), np.uint8) // 8 * 255  # some equal, some zero
    contents[:, 2:] = 0
    seen = []
    for name in ("xxh64-trunc32", "low-half"):
        machine = Machine(200, 64)
        daemon = Ksmd(machine, ksm_tunables.preset(preset).with_(checksum=name, pages_to_scan=13))
        mm = machine.spawn()
        address = machine.mmap(mm, 60, mergeable=True)
        machine.write(mm, address, contents)
        log = []
        for step in range(60):
            if step % 7 == 0:
                machine.write(mm, address + 64 * (step % 60), contents[step % 5 : step % 5 + 1])
            daemon.wake()
            daemon.check(), machine.check()
            log.append((daemon.counters(), machine.frames_saved))
        seen.append(log)
    assert seen[0] == seen[1] and seen[0][-1][1] > 40


def rest(daemon):
    for _ in range(100):
        daemon.wake()
        if daemon.at_rest:
            return
    raise AssertionError("no rest")


def test_a_plug_in_that_fails_in_a_wake_up_loses_no_page():
    fail = True

    def sometimes(pages):
        if fail:
            raise RuntimeError("not now")
        return pages[:, :8].view(np.uint64)[:, 0]

    checksums.register("sometimes", sometimes)
    store = pksm.Store(64)
    first = store.add(np.zeros((10, 64), np.uint8))
    host = pksm.FlatHost(store)
    daemon = pksm.Pksmd(host, pksm.preset("fixed"), checksum=plugins.Batch("zero", 64, lambda pages: pages[:, 0]))
    daemon._summing.checksum = checksums.make("sometimes", 64)
    host.add(np.arange(first, first + 10, dtype=np.uint32))
    with pytest.raises(PksmError, match="sometimes failed: RuntimeError: not now"):
        daemon.wake()
    daemon.check()
    fail = False
    rest(daemon)
    assert host.pages_zero_sharing == 10


@pytest.mark.parametrize("update", ["head", "on-search"])
def test_ctrl_c_in_a_wake_up_loses_no_page(update):
    interrupt = True

    def interrupted(pages):
        if interrupt and pages.any():
            raise KeyboardInterrupt
        return pages[:, 0]

    checksums.register("interrupted", interrupted)
    store = pksm.Store(64)
    store.add(np.arange(10, dtype=np.uint8).repeat(64) // 2)
    host = pksm.FlatHost(store)
    daemon = pksm.Pksmd(host, pksm.preset("fixed").with_(checksum="interrupted", update=update, order="checksum"))
    host.add(np.arange(10, dtype=np.uint32))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            daemon.wake()
        daemon.check()
        assert daemon.counters()["rescan_len"] == 10 and not daemon.at_rest
    interrupt = False
    rest(daemon)
    daemon.check(), host.check()
    assert host.frames_saved == 6


@pytest.mark.parametrize("at", ["merge", "merge_zero"])
@pytest.mark.parametrize("born", [(10,), (5, 5)])
def test_whatever_a_host_raises_loses_no_page(at, born, monkeypatch):
    store = pksm.Store(64)
    store.add(np.arange(10, dtype=np.uint8).repeat(64) % 3)
    host = pksm.FlatHost(store)
    daemon = pksm.Pksmd(host, pksm.preset("fixed"))
    first = 0
    for n in born:
        host.add(np.arange(first, first + n, dtype=np.uint32))
        first += n
        with monkeypatch.context() as patched:

            def fails(*pages):
                raise RuntimeError("not now")

            patched.setattr(host, at, fails)
            with pytest.raises(RuntimeError, match="not now"):
                daemon.wake()
            daemon.check(), host.check()
        rest(daemon)
    daemon.check(), host.check()
    assert host.frames_saved == 8


@pytest.mark.parametrize("threads", [0, -1])
def test_there_is_one_thread_at_least(threads):
    with pytest.raises(UsageError, match=f"threads {threads}"):
        pksm.Pksmd(pksm.FlatHost(pksm.Store(64)), threads=threads)


def test_a_check_finds_an_item_that_is_nowhere():
    store = pksm.Store(64)
    store.add(np.zeros((10, 64), np.uint8))
    host = pksm.FlatHost(store)
    daemon = pksm.Pksmd(host)
    host.add(np.arange(10, dtype=np.uint32))
    daemon.check()
    daemon._new.take(1)
    with pytest.raises(AssertionError, match="no tree and on no list"):
        daemon.check()


@pytest.mark.parametrize("kind", ["ctypes", "cffi", "numpy"])
def test_the_examples_run(kind, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"checksum_{kind}.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"weighted-{kind}" in done.stdout
