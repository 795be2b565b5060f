"""Files that a worker reads: the same results as without it, and nothing it says is believed that can't be."""

import copy
import json
import os
import socket
import types
from functools import partial
from importlib import metadata

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, ShortageError, UsageError
from pksm.extents import State, make_runs
from pksm.linux import memory_limits
from pksm.linux.sandbox.channel import Channel
from pksm.linux.sandbox.worker import Worker
from pksm.scan import Settings, scan
from pksm.scan.fingerprints import fingerprint
from pksm.sources import Sandbox, open_target, opened, opening
from pksm.sources.sandboxed import sandbox as sandboxes
from pksm.testing import check_source

from support.memory_sources import write_file
from support.writers import elf, kdump, lime

PAGE = 4096
CONTENTS = [(number % 7).to_bytes(8, "little") * (PAGE // 8) for number in range(100)]
MEMORY = b"".join(CONTENTS)
FRAMES = {number: content if any(content) else kdump.ZERO for number, content in enumerate(CONTENTS)}
RANGES = [(0x9000, MEMORY[: 60 * PAGE]), (1 << 33, MEMORY[60 * PAGE :])]


def core(path, notes, **how):
    segments = [(0x100000, CONTENTS[:60], 70, elf.R | elf.W), (0x900000, CONTENTS[60:], 40, elf.R)]
    elf.write_core(path, segments, notes, **how)


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(1 << 24)
        file.seek(5 << 20)
        file.write(MEMORY + b"over")


def keep_fingerprints(path):
    ram = write_file(path.with_name("ram"), CONTENTS, PAGE)
    with opened([partial(open_target, ram)]) as (found, _):
        fingerprint(found, path)


FILES = {
    "raw": lambda path: path.write_bytes(MEMORY + b"over"),
    "raw, sparse": sparse,
    "elfcore": lambda path: core(path, elf.nt_file([(1, 2, b"/x")])),
    "elfcore, of a guest": lambda path: core(path, elf.qemu_note(), align=1, physical=True),
    "elfcore, cut off": lambda path: (core(path, elf.qemu_note()), os.truncate(path, path.stat().st_size - 9999)),
    "lime": lambda path: path.write_bytes(lime.lime(RANGES)),
    "avml": lambda path: path.write_bytes(lime.avml(RANGES)),
    "kdump": lambda path: path.write_bytes(kdump.kdump(FRAMES)),
    "kdump, plain": lambda path: path.write_bytes(kdump.kdump(FRAMES, compress=False)),
    "kdump, flattened": lambda path: path.write_bytes(kdump.flatten(kdump.kdump(FRAMES))),
    "kdump, cut off": lambda path: path.write_bytes(kdump.kdump(FRAMES)[:-999]),
    "fingerprints": keep_fingerprints,
    "gzip": lambda path: path.write_bytes(b"\x1f\x8b\x08\x00" + MEMORY),
    "too short": lambda path: path.write_bytes(b"x"),
    "an empty core": lambda path: path.write_bytes(elf.header(0)),
}


def outcome(paths, sandbox, settings=None):
    """The document of a scan, without what it took, and the errors; or the error."""
    try:
        with opened([partial(open_target, path, sandbox) for path in paths]) as (found, errors):
            document = scan(found, settings or Settings(show_bytes=settings is not None), errors=errors)
    except PksmError as error:
        return type(error), str(error)
    document = copy.deepcopy(document)
    del document["cost"], document["saving"]["engine_bytes"]  # what it took, and what it took of our memory
    return document, list(map(str, errors))


@pytest.fixture
def sandbox():
    with Sandbox() as one:
        yield one


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("view", ["frames", "mappings"])
def test_results_are_those_without_it(tmp_path, sandbox, name, view):
    path, other = tmp_path / "memory", tmp_path / "other"
    FILES[name](path)
    write_file(other, [b"a" * PAGE] * 3, PAGE)
    settings = Settings(view=view)
    for paths in ([path], [path, other]):
        assert outcome(paths, sandbox, settings) == outcome(paths, None, settings)


def test_files_of_all_formats_are_read_by_one_worker(tmp_path, sandbox):
    paths = []
    for number, (name, write) in enumerate(FILES.items()):
        if name != "fingerprints":
            paths.append(tmp_path / f"{number}")
            write(paths[-1])
    assert outcome(paths, sandbox, Settings()) == outcome(paths, None, Settings())
    assert sandbox.worker_number <= 4  # one more each for plug-ins, pyelftools and cramjam, if nobody has loaded these


@pytest.mark.parametrize("name", ["raw", "elfcore", "lime", "avml", "kdump"])
def test_sources_keep_the_contract(tmp_path, sandbox, name):
    path = tmp_path / "memory"
    FILES[name](path)
    starts = {"raw": (0, 60 * PAGE), "kdump": (0, 60 * PAGE), "elfcore": (0x100000, 0x900000)}.get(
        name, (0x9000, 1 << 33)
    )
    numbers = [(starts[0], range(60)), (starts[1], range(60, 100))]
    expected = {start + place * PAGE: CONTENTS[number] for start, part in numbers for place, number in enumerate(part)}
    check_source(lambda: open_target(path, sandbox), expected)


def test_a_file_in_memory_is_copied_through(tmp_path, sandbox):
    fd = os.memfd_create("ram")
    try:
        os.ftruncate(fd, 1 << 24)
        os.pwrite(fd, b"x" * 100, (5 << 20) + 7)
        os.pwrite(fd, MEMORY, 9 << 20)
        path = f"/proc/self/fd/{fd}"
        found = outcome([path], sandbox)
        assert found == outcome([path], None) and found[0]["totals"]["pages"] == 101
    finally:
        os.close(fd)


# ---- small files, which are read before they are asked for ----


@pytest.fixture
def asked(monkeypatch):
    """What the other side is asked for, by name, in order."""
    names = []
    send = Channel.send

    def noting(self, name, *content, **how):
        names.append(name)
        return send(self, name, *content, **how)

    monkeypatch.setattr(Channel, "send", noting)
    return names


@pytest.fixture
def small(tmp_path):
    return [write_file(tmp_path / str(n), [bytes([n % 3]) * PAGE, b"x" * PAGE] * 2, PAGE) for n in range(5)]


def test_small_files_are_not_asked_for(small, sandbox, asked):
    assert outcome(small, sandbox) == outcome(small, None)
    assert asked.count("open") >= 5 and asked.count("read") == 1, "all but the last, behind which nothing is opened"


def test_another_page_size_is_asked_for(small, sandbox, asked):
    settings = Settings(page_size=512)
    for _ in range(2):
        assert outcome(small, sandbox, settings) == outcome(small, None, settings)
    assert asked.count("read") == 5 + 1, "from then on it is the one that is guessed"


def test_a_small_file_is_read_as_often_as_one_likes(small, sandbox):
    def pages_of(source):
        return [region.view.tobytes() for region in source.regions(PAGE, None, lambda n: None)]

    with opened([partial(open_target, path, sandbox) for path in small]) as (found, _):
        first = [pages_of(source) for source in reversed(found)]
        assert first == [pages_of(source) for source in reversed(found)]
        assert first[0] == [bytes([1]) * PAGE + b"x" * PAGE + bytes([1]) * PAGE + b"x" * PAGE]
        found[1].close()
        assert pages_of(found[2]) == first[2]


def test_what_a_small_file_lacks_is_said_of_it_alone(small, tmp_path, sandbox):
    short = tmp_path / "short"
    short.write_bytes(b"x" * 100)
    paths = [small[0], short, sparse_file(tmp_path), *small[1:]]
    assert outcome(paths, sandbox, Settings()) == outcome(paths, None, Settings())


def sparse_file(directory):
    path = directory / "holes"
    with open(path, "wb") as file:
        file.truncate(100 * PAGE)
        file.seek(50 * PAGE)
        file.write(b"y" * PAGE + b"over")
    return path


# ---- readers of others ----


class Many(sources.Source):
    """Two parts that share frames; regions of every kind."""

    kind = "many"

    def __init__(self, name, file, parts=(), base=0):
        super().__init__(name, file)
        self._parts, self._base = parts, base
        self.machine = "a machine"
        self.mappings = [sources.Mapping("first", 0, PAGE)]

    def parts(self):
        return self._parts or [self]

    def regions(self, page_size, allocate, progress):
        own = np.frombuffer(bytes([self._base + 1]) * page_size * 2, np.uint8)
        yield sources.Region(make_runs([State.DATA], 0, 0, np.array([2])), own)
        first = allocate(3)
        first.array[:] = self._base + 2
        runs = make_runs([State.DATA], 0, 2 * page_size, np.array([3]))
        yield sources.Region(runs, copies=first)
        self.mappings.append(sources.Mapping("second", 0, PAGE))
        runs = make_runs([State.DATA], 1, 9 * page_size, np.array([2]))
        second, frames = allocate(2), np.array([5, 6], np.uint64)
        second.array[:] = 9
        yield sources.Region(runs, copies=second, frames=frames, exclusive=np.array([False, True]))
        runs = make_runs([State.ZERO, State.HOLE, State.EXCLUDED], 0, 99 * page_size, np.array([1, 2, 3]))
        progress(7)
        self.warnings.append("a remark")
        self.lost = 4
        yield sources.Region(runs)

    def facts(self):
        return {"colour": "blue", "name": "another", "out_of_reach": {"not_resident": 2, "odd": 3}}


def reads_many(file):
    return Many(file.path, file, [Many("left", file), Many("right", file, base=20)])


@pytest.fixture
def reader(monkeypatch):
    """Make a reader plug-in of files that begin with READ: a function(open_file, sniff)."""
    real = metadata.entry_points

    def make(open_file, sniff=lambda file: file.head.startswith(b"READ")):
        module = types.ModuleType("mine", "Mine.")
        module.open_file, module.sniff = open_file, sniff
        opening._from_entry_points.cache_clear()
        point = types.SimpleNamespace(name="mine", load=lambda: module)
        monkeypatch.setattr(
            metadata, "entry_points", lambda **of: [point] if of == {"group": "pksm.sources"} else real(**of)
        )

    yield make
    opening._from_entry_points.cache_clear()


@pytest.fixture
def mine(tmp_path):
    return write_file(tmp_path / "mine", [b"READ" * 1024] * 3, PAGE)


def test_a_reader_of_others_may_hand_over_any_kind_of_region(reader, mine, sandbox):
    reader(reads_many)
    found, errors = outcome([mine], sandbox)
    alone, _ = outcome([mine], None)
    assert {name: (found[name], alone[name]) for name in found if found[name] != alone[name]} == {}
    assert [source["name"] for source in found["sources"]] == ["left", "right"]  # no fact takes the place of a field
    assert found["sources"][0]["colour"] == "blue" and found["sources"][0]["lost"] == 4
    assert found["totals"]["pages"] == 15, "two zero pages, and frame 5 is that of both"


@pytest.mark.parametrize(
    "error",
    [PksmError("it is odd"), UsageError("it is odd", "page_size"), ShortageError("9 MiB needed"), MemoryError("8 GiB")],
)
@pytest.mark.parametrize("when", ["open", "read"])
def test_errors_of_readers_are_those_without_it(reader, mine, sandbox, error, when):
    class Failing(Many):
        def regions(self, page_size, allocate, progress):
            yield from super().regions(page_size, allocate, progress)
            raise error

    def fail(file):
        if when == "open":
            raise error
        return Failing(file.path, file)

    reader(fail)

    def of(sandbox):
        try:
            return outcome([mine], sandbox)
        except MemoryError as short:
            return MemoryError, str(short)

    assert of(sandbox) == of(None)


def test_a_fault_of_a_reader_is_one_line(reader, mine, sandbox):
    reader(lambda file: {}["missing"])
    assert outcome([mine], sandbox) == (PksmError, f"{mine}: its reader failed with KeyError: 'missing'")
    reader(lambda file: 7)
    with Sandbox() as anew:
        assert outcome([mine], anew) == (PksmError, f"{mine}: its reader returned a int, which is not a Source")


def test_memory_is_asked_for_where_it_can_be_looked_up(reader, mine, sandbox, monkeypatch):
    monkeypatch.setattr(memory_limits, "MEMINFO", "/no/such/file")
    monkeypatch.setattr(memory_limits, "_of_machine", lambda: 5 << 20)

    def needy(file):
        memory_limits.require(6 << 20)
        raise AssertionError("there is not so much")

    reader(needy)
    expected = (ShortageError, "6 MiB of memory are needed and 5 MiB available: scan less at a time")
    assert outcome([mine], sandbox) == outcome([mine], None) == expected


def test_a_source_that_dies_while_it_is_read_leaves_what_was_read_and_the_others(reader, mine, tmp_path, sandbox):
    class Dying(Many):
        def regions(self, page_size, allocate, progress):
            for number, region in enumerate(super().regions(page_size, allocate, progress)):
                if number == 2:
                    os._exit(3)
                yield region

    reader(lambda file: Dying(file.path, file))
    others = [write_file(tmp_path / name, [name.encode() * PAGE] * 3, PAGE) for name in "ab"]
    found, errors = outcome([others[0], mine, others[1]], sandbox)
    assert errors == [] and [source["name"] for source in found["sources"]] == [others[0], mine, others[1]]
    assert found["sources"][1]["pages"]["data"] == 5 and found["sources"][2]["duplicates"] == 2
    [line] = [line for line in found["warnings"] if "ended by" in line]
    assert line.startswith(f"{mine}: the process that read it was ended by exit code 3") and found["partial"]


def test_what_is_left_in_the_middle_ends_the_worker_alone(mine, sandbox):
    with opened([partial(open_target, mine, sandbox)]) as ([source], _):
        for _ in source.regions(PAGE, lambda n: None, lambda n: None):
            break
        started = sandbox.worker_number
        assert len(list(source.regions(PAGE, lambda n: None, lambda n: None))) == 1
        assert sandbox.worker_number >= started


# ---- a worker that lies ----


ABOUT = {"name": "x", "kind": "raw", "page_size": None, "machine": None, "lost": 0, "partial": False,
         "warnings": [], "mappings": [["all", 0, 4096]]}  # fmt: skip
REGION = {"lost": 0, "partial": False, "warnings": [], "view": [0, PAGE], "slot": None, "pages": 0, "columns": []}
RUNS = make_runs([State.DATA], 0, 0, np.array([1]))


def with_pages(pages, state=State.DATA, mapping=0, first=0):
    runs = make_runs([state], mapping, 0, np.array([pages]))
    runs["first"] = first
    return runs.tobytes()


STATE = {"lost": 0, "partial": False, "warnings": []}
LIES = {
    "no text": [("open", {"whole": ABOUT | {"name": 7}, "parts": None})],
    "no fields": [("open", {})],
    "no list": [("open", {"whole": ABOUT, "parts": 7})],
    "a page size": [("open", {"whole": ABOUT | {"page_size": "many"}, "parts": None})],
    "mappings": [("open", {"whole": ABOUT | {"mappings": [[1, 2]]}, "parts": None})],
    "a view behind the end": [("region", REGION | {"view": [0, 1 << 40]}, [RUNS.tobytes()])],
    "a view before the start": [("region", REGION | {"view": [-PAGE, PAGE]}, [RUNS.tobytes()])],
    "a slot never given": [("region", REGION | {"view": None, "slot": 3, "pages": 1}, [RUNS.tobytes()])],
    "half a run": [("region", REGION, [b"x"])],
    "a run of another mapping": [("region", REGION, [with_pages(1, mapping=9)])],
    "a run in no state": [("region", REGION, [with_pages(1, state=99)])],
    "a run behind its buffer": [("region", REGION, [with_pages(1, first=5)])],
    "a run of more than there is": [("region", REGION, [with_pages(1 << 60, state=State.HOLE)])],
    "needs": [("open", {"needs": []})],
    "a column": [("region", REGION | {"columns": ["frames"]}, [RUNS.tobytes(), bytes(8)])],
    "a column that there is not": [("region", REGION | {"columns": ["file"]}, [RUNS.tobytes(), bytes(8)])],
    "columns too few": [("region", REGION | {"columns": ["frames"]}, [RUNS.tobytes()])],
    "no runs": [("region", REGION, [])],
    "no state": [("state", {})],
    "a fact": [("state", STATE | {"facts": {"pid": "one"}})],
    "a fact below zero": [("state", STATE | {"facts": {"racy": -1}})],
    "out of reach": [("state", STATE | {"facts": {"out_of_reach": {"x": "y"}}})],
    "no facts": [("state", STATE | {"facts": 3})],
    "a question": [("allocate", {"pages": -1})],
    "a question of no sense": [("allocate", {})],
    "a progress": [("progress", {"pages": None})],
    "nothing known": [("nothing known", {})],
    "an error of no sense": [("error", {"class": 7})],
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_line(mine, monkeypatch, name):
    def lie(channel, *_):
        channel.receive()
        [(what, *content)] = LIES[name]
        if what == "open":
            channel.send("done", *content)
            channel.receive()
        channel.send("done", {"whole": ABOUT, "parts": None})
        channel.receive()
        channel.send(what, *content)
        channel.receive()

    monkeypatch.setattr(sandboxes.serving, "serve", lie)
    with Sandbox() as sandbox:
        kind, message = outcome([mine], sandbox)
    assert issubclass(kind, PksmError) and "\n" not in message and message


UNASKED = {"file": 0, "page_size": PAGE, "name": "region", "fields": REGION}
END = {"file": 0, "page_size": PAGE, "name": "state", "fields": STATE | {"facts": {}}}
UNASKED_LIES = {
    "no file": [({}, ())],
    "a file of no sense": [(UNASKED | {"file": []}, [RUNS.tobytes()])],
    "a view behind the end": [
        (UNASKED | {"fields": REGION | {"view": [0, 1 << 40]}}, [RUNS.tobytes()]), (END, ())],
    "no fields": [(UNASKED | {"fields": 7}, [RUNS.tobytes()]), (END, ())],
    "half a run": [(UNASKED, [b"x"]), (END, ())],
    "no runs": [(UNASKED, ()), (END, ())],
    "more than there is": [(UNASKED, [with_pages(1, first=5)]), (END, ())],
    "a fact": [(UNASKED, [RUNS.tobytes()]), (END | {"fields": STATE | {"facts": {"pid": "one"}}}, ())],
    "too many": [(UNASKED, [RUNS.tobytes()])] * 99,
    "too long": [(UNASKED, [bytes(2 << 20)])],
}  # fmt: skip


@pytest.mark.parametrize("name", UNASKED_LIES)
def test_a_lie_that_comes_unasked_is_one_line(small, monkeypatch, name):
    def lie(channel, *_):
        channel.receive()
        channel.send("done", {"whole": ABOUT, "parts": None})
        channel.receive()
        for fields, arrays in UNASKED_LIES[name]:
            channel.send("ahead", fields, arrays)
        channel.send("done", {"whole": ABOUT, "parts": None})
        channel.receive()

    monkeypatch.setattr(sandboxes.serving, "serve", lie)
    with Sandbox() as sandbox:
        try:
            first, _ = open_target(small[0], sandbox), open_target(small[1], sandbox)
            lines = scan([first])["warnings"]
        except PksmError as error:
            lines = [str(error)]
    assert lines and lines[-1] and "\n" not in lines[-1]


@pytest.mark.parametrize(
    "data", [b"garbage that is no message" * 9, b"\xff" * 16, bytes(16), b"\2" + bytes(15) + b"[]"]
)
def test_what_is_no_message_is_one_line(mine, monkeypatch, data):
    monkeypatch.setattr(sandboxes.serving, "serve", lambda channel, *_: os.write(channel.fileno(), data))
    with Sandbox() as sandbox:
        kind, message = outcome([mine], sandbox)
    assert kind is PksmError and message.startswith(f"{mine}: the process that read it ")


def test_descriptors_of_a_worker_are_not_taken(mine):
    def work(channel, held):
        channel.receive()
        channel.send("open", {}, (), [0, 1])
        channel.receive()

    worker = Worker(work, lambda: None)
    before = len(os.listdir("/proc/self/fd"))
    worker.channel.send("go", {})
    assert worker.channel.receive().descriptors == [] and len(os.listdir("/proc/self/fd")) == before
    worker.close()


def test_a_worker_that_does_not_end_is_ended():
    worker = Worker(lambda channel, held: os.sched_yield() or [None for _ in iter(int, 1)], lambda: None)
    worker.close()
    assert worker.died_of() == "SIGKILL"


def test_messages_arrive_as_they_were_sent():
    ours, theirs = socket.socketpair()
    one, other = Channel(ours, False), Channel(theirs, True)
    fields = {"text": "\udcff \u202e", "number": 1 << 63, "none": None, "list": [1.5, "x"]}
    fd = os.memfd_create("sent")
    one.send("name", fields, [b"", b"abc", bytes(100_000)], [fd])
    message = other.receive()
    assert (message.name, message.fields) == ("name", json.loads(json.dumps(fields)))
    assert [bytes(array) for array in message.arrays] == [b"", b"abc", bytes(100_000)]
    assert os.fstat(message.descriptors[0]).st_ino == os.fstat(fd).st_ino
    for descriptor in (fd, *message.descriptors):
        os.close(descriptor)
    one.close()
    other.close()
