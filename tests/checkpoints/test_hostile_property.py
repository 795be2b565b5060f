"""Checkpoints that somebody has damaged or made up: one line of error, or something that is sound."""

import copy
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm import FlatHost, Ksmd, Machine, Pksmd, Store, UsageError, checkpoints
from pksm.errors import PksmError
from pksm.hosts.machine.content import pages_of
from pksm.policies.cksm.daemon import Cksm
from pksm.policies.uksm.daemon import Uksm

SIZE = 64


def flat(policy):
    host = FlatHost(Store(SIZE))
    daemon = policy(host)
    pages = host.new(60)
    host.write(pages, pages_of(np.arange(60) % 25, SIZE))
    for _ in range(3):
        daemon.wake()
    host.write(pages[::7], pages_of(np.arange(9), SIZE))
    return daemon


def machine(policy):
    host = Machine(200, page_size=SIZE)
    daemon = policy(host)
    mm = host.spawn()
    mm.write(mm.mmap(60, mergeable=True), np.arange(60) % 25)
    for _ in range(4):
        daemon.wake()
    mm.fork()
    return daemon


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    files = []
    for number, thing in enumerate((*map(flat, (Pksmd, Ksmd, Cksm, Uksm)), *map(machine, (Pksmd, Ksmd, Uksm)))):
        checkpoints.save(folder / str(number), thing)
        files.append((folder / str(number)).read_bytes())
    return folder / "changed", files


def sealed(header, rest):
    """A file with this header (bytes), and a CRC that fits."""
    body = header + rest
    return struct.pack("<8sIIQ", b"PKSMSAVE", 1, zlib.crc32(body), len(header)) + body


def try_to_load(path, data):
    path.write_bytes(data)
    try:
        thing = checkpoints.load(path)
    except PksmError as error:
        line = str(error)
        assert "\n" not in line and line.startswith(str(path))
        return None
    return thing


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_numbers_that_were_changed_are_found_or_do_no_harm(saved, data):
    path, files = saved
    whole = bytearray(data.draw(st.sampled_from(files)))
    (n_header,) = struct.unpack_from("<Q", whole, 16)
    start = 24 + n_header
    words = memoryview(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(start, len(whole) - 8))
        value = data.draw(
            st.one_of(st.integers(0, 300), st.sampled_from([0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 1 << 20]))
        )
        words[at : at + 4] = struct.pack("<I", value)
    thing = try_to_load(path, sealed(bytes(whole[24:start]), bytes(whole[start:])))
    if thing is not None:
        thing.check(), thing._host.check()
        try:
            for _ in range(5):
                thing.wake()
        except (PksmError, ValueError, LookupError, AssertionError):
            pass  # it may go wrong later: what counts is that no memory is touched that is not its own


def spots(tree, path=()):
    """All places in a header's tree."""
    yield path
    for i, one in enumerate(tree if isinstance(tree, list) else ()):
        yield from spots(one, (*path, i))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_headers_that_were_changed_are_found_or_do_no_harm(saved, data):
    path, files = saved
    whole = data.draw(st.sampled_from(files))
    (n_header,) = struct.unpack_from("<Q", whole, 16)
    header = json.loads(whole[24 : 24 + n_header])
    part = data.draw(st.sampled_from(["tree", "tree", "arrays"]))
    *above, last = data.draw(st.sampled_from([spot for spot in spots(header[part]) if spot]))
    place = header[part]
    for step in above:
        place = place[step]
    junk = [
        0,
        1,
        -1,
        3,
        2**40,
        2**70,
        1.5,
        None,
        True,
        "",
        "u8",
        "Store",
        ["l"],
        ["d"],
        ["a", 0],
        ["r", 0],
        ["o", "Mm", 1],
    ]
    place[last] = data.draw(st.sampled_from(junk))
    thing = try_to_load(path, sealed(json.dumps(header).encode(), whole[24 + n_header :]))
    if isinstance(thing, (Pksmd, Ksmd, Cksm, Uksm)):
        thing.check()


def parts_of(state, path=()):
    """All places of a state that hold a number, a word or an array."""
    if isinstance(state, dict | list):
        for key, one in state.items() if isinstance(state, dict) else enumerate(state):
            yield from parts_of(one, (*path, key))
    else:
        yield path


def changed(state, path, value):
    """Change a copy of a state in one place, and return it."""
    state = copy.deepcopy(state)
    *above, last = path
    place = state
    for step in above:
        place = place[step]
    if isinstance(place[last], np.ndarray) and isinstance(value, int) and place[last].size:
        flat = place[last].reshape(-1).view(np.uint8)
        at = value % flat.size
        flat[at : at + 1 + value % 4] ^= 1 + value % 255
    else:
        place[last] = value
    return state


values = st.one_of(
    st.integers(0, 1 << 20),
    st.sampled_from(
        [-1, -5, 2**31, 2**32, 2**61, 2**70, 1.5, None, "", "x", [], {}, np.zeros(0, np.uint32), np.zeros(3)]
    ),
)


@pytest.mark.parametrize("make, policy", [(flat, Cksm), (flat, Uksm), (machine, Uksm)])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_states_that_were_changed_are_refused_in_a_line_or_sound(make, policy, data):
    daemon = make(policy)
    state = daemon.state()
    paths = sorted(parts_of(state), key=str)
    state = changed(state, data.draw(st.sampled_from(paths)), data.draw(values))
    try:
        again = policy.resume(daemon.host, state)
    except UsageError as error:
        assert "\n" not in str(error) and len(str(error)) < 400
        return
    again.check()
    try:
        for _ in range(4):
            again.wake()
    except (PksmError, ValueError, LookupError, AssertionError):
        pass  # as above


@pytest.mark.parametrize(
    "path, value, said",
    [
        (("rungs", 0, 3), 1 << 40, "a rung may visit more than its share"),
        (("rungs", 0, 2), 0, "a stride leads nowhere"),
        (("rungs", 0, 0), 7, "a rung goes on with no slot"),
        (("strength", "step"), 9, "9 is not a number from 0 to 5"),
        (("strength", "most"), 1, "its highest strength is another"),
        (("slots", 0, 6), 1, "a slot is on another rung than it knows"),
        (("slots", 0, 0, 2), 61, "a slot is of another vma"),
        (("page_ns",), 0, "0 is not a number from 1 to 200000"),
        (("numbers", 0), 1, "slots share a number"),
        (("bases",), [[60, 0]], "slots share entries"),
        (("words", 0), 3, "its hash takes other words than there are"),
    ],
)
def test_a_state_of_uksm_that_can_not_be_is_named(path, value, said):
    daemon = flat(Uksm)
    state = daemon.state()
    before = state
    for step in path[:-1]:
        before = before[step]
    before[path[-1]] = value
    with pytest.raises(UsageError, match="this is not a sound state of a Uksm: " + said):
        Uksm.resume(daemon.host, state)


def test_what_is_no_checkpoint_is_refused_in_a_line(saved, tmp_path):
    path, (whole, *_) = saved
    (n_header,) = struct.unpack_from("<Q", whole, 16)
    for data, message in (
        (b"", "not a checkpoint of pksm"),
        (b"\x80\x04K\x01.", "not a checkpoint of pksm"),
        (whole[:20], "cut short"),
        (whole[:-1], "damaged or cut short"),
        (whole + b"\0", "damaged or cut short"),
        (whole[:8] + struct.pack("<I", 2) + whole[12:], "a checkpoint of format 2, and this pksm reads 1"),
        (sealed(b"{}", b""), "not a sound checkpoint"),
        (sealed(b"[" * 100_000, b""), "not a sound checkpoint"),
        (sealed(b'{"arrays":[["u8",[1099511627776]]],"tree":null}', b""), "behind the end of the file"),
        (sealed(b'{"arrays":[["object",[1]]],"tree":null}', bytes(64)), "not a sound checkpoint"),
        (sealed(b'{"arrays":[],"tree":["o","Popen",["d"]]}', b""), "not a sound state"),
        (sealed(b'{"arrays":[],"tree":["o","FlatHost",["d"]]}', b""), "not a sound state"),
        (sealed(b'{"arrays":[],"tree":' + b'["l",' * 5000 + b"1" + b"]" * 5000 + b"}", b""), "sound"),
    ):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=message) as error:
            checkpoints.load(path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)
    with pytest.raises(PksmError, match="No such file"):
        checkpoints.load(tmp_path / "nothing")


def test_a_file_of_others_is_not_replaced(tmp_path):
    path = tmp_path / "letter"
    path.write_text("dear")
    with pytest.raises(PksmError):
        checkpoints.save(path, Store(SIZE))
    assert path.read_text() == "dear"
    checkpoints.save(tmp_path / "store", Store(SIZE))
    checkpoints.save(tmp_path / "store", [Store(SIZE), {"n": (1, 2.5, None, "x")}])
    store, rest = checkpoints.load(tmp_path / "store")
    assert store.page_size == SIZE and rest == {"n": (1, 2.5, None, "x")}
