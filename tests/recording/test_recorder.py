"""The recorder, on live processes that do one thing at a time: what it writes down is what they have done."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import BusError, PksmError, UsageError
from pksm.linux import soft_dirty, written
from pksm.linux.proc import moves, tasks
from pksm.linux.written import Written
from pksm.recording import Kind, Recording, Writer, tracking
from pksm.recording.hashing import Hasher, Snapshot
from pksm.recording.members import Roster, Targets
from pksm.recording.recorder import Recorder, record
from pksm.recording.summary import summary
from pksm.recording.tracking import TRACKS
from pksm.sources import open_pid, open_target
from pksm.sources.live.process import ProcessSource

from support.asleep import wait_until_asleep
from support.memory_sources import write_file

SIZE = 4096
N = 200
# Does what each line says, with a mapping of its own, and answers when it is done.
PUPPET = """
import mmap, os, signal, sys
maps = {}
if len(sys.argv) > 2:
    print("done", flush=True)
for line in sys.stdin:
    word, *numbers = line.split()
    numbers = [int(number) for number in numbers]
    if word == "map":
        maps[numbers[0]] = mmap.mmap(-1, numbers[1] * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        maps[numbers[0]].madvise(mmap.MADV_NOHUGEPAGE)
    elif word == "write":
        name, first, n, content = numbers
        for page in range(first, first + n):
            maps[name][page * 4096 : page * 4096 + 4096] = content.to_bytes(8, "little") * 512
    elif word == "drop":
        name, first, n = numbers
        maps[name].madvise(mmap.MADV_DONTNEED, first * 4096, n * 4096)
    elif word == "mergeable":
        maps[numbers[0]].madvise(12)
    elif word == "unmap":
        maps.pop(numbers[0]).close()
    elif word == "fork":
        child = os.fork()
        if child == 0:
            signal.pause()
        print(child, flush=True)
        continue
    elif word == "exec":
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[1], "again"])
    print("done", flush=True)
"""


class Puppet:
    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", PUPPET, PUPPET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self("map 0 1")

    def __call__(self, line):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def end(self):
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture
def puppet():
    puppet = Puppet()
    yield puppet
    puppet.end()


class Story:
    """A recording with a sample after each step."""

    def __init__(self, path, targets, track="hashes"):
        self._writer = Writer(path, {"page_size": SIZE})
        self._recorder = Recorder(self._writer, targets, track=track)
        self._path, self._ms = path, 0

    def sample(self):
        self._ms += 1
        self._recorder.sample(self._ms)

    def states(self):
        """The State after each sample, and the blocks of each."""
        self._recorder.close()
        self._writer.close({"ms": self._ms})
        with Recording(self._path) as recording:
            return [(recording.state_at(ms), list(recording.blocks(ms, ms))) for ms in range(1, self._ms + 1)]


@pytest.fixture(params=TRACKS)
def track(request, puppet):
    """How writes are found; not as the kernel reports them where it cannot."""
    if request.param != "hashes":
        skip_if_untracked(puppet, request.param)
    return request.param


@pytest.fixture(params=[track for track in TRACKS if track != "hashes"])
def reported(request, puppet):
    """How writes are found: as the kernel reports them, where it can."""
    skip_if_untracked(puppet, request.param)
    return request.param


def skip_if_untracked(puppet, track):
    if not soft_dirty.why_not():
        return
    if track == "soft-dirty":
        pytest.skip(soft_dirty.why_not())
    try:
        Written(puppet.pid).close()
    except PksmError as error:
        pytest.skip(str(error))


def events(blocks, kind):
    return sum(int(np.count_nonzero(block.of(kind))) for block in blocks)


@pytest.mark.kernel  # its memory is opted in: ksmd must not be compared meanwhile
def test_what_a_process_does_to_a_mapping_is_recorded_event_for_event(tmp_path, puppet, track):
    story = Story(tmp_path / "a", Targets(pids=[puppet.pid]), track)
    reported = track != "hashes"
    story.sample()
    puppet(f"map 1 {N}")
    puppet(f"write 1 0 {N} 7")
    story.sample()
    puppet("write 1 10 30 8")
    puppet("write 1 20 5 9")
    story.sample()
    puppet("write 1 0 50 7")  # ten of them hold it, thirty did
    story.sample()
    puppet("write 1 100 20 1")
    puppet("write 1 100 20 7")  # and back: that is the blind spot of hashes
    story.sample()
    puppet("drop 1 150 50")
    story.sample()
    puppet("mergeable 1")
    story.sample()
    puppet("unmap 1")
    story.sample()
    states = story.states()
    (made,) = [op for block in states[1][1] for op in block.operations if op[0] == "map" and op[2] >= N]
    assert made[4] is False
    first = made[1]

    def held(state):
        space = state.spaces[0]
        inside = (space.pages >= first) & (space.pages < first + made[2])
        return dict(zip((space.pages[inside]).tolist(), space.contents[inside].tolist(), strict=True))

    pages = held(states[1][0])
    runs = {content: [page for page in pages if pages[page] == content] for content in set(pages.values())}
    seven, ours = max(runs.items(), key=lambda run: len(run[1]))
    assert len(ours) == N and ours == list(range(ours[0], ours[0] + N)), "all pages of it have one content"
    start = ours[0]

    def of(state):
        return [held(state).get(page) for page in range(start, start + N)]

    def same(blocks):
        pages = {int(page) - start for block in blocks for page in block.pages[block.of(Kind.SAME)]}
        return {page for page in pages if 0 <= page < N}

    third = of(states[2][0])
    eight, nine = third[10], third[20]
    assert len({0, seven, eight, nine}) == 4
    assert third == [seven] * 10 + [eight] * 10 + [nine] * 5 + [eight] * 15 + [seven] * (N - 40)
    assert of(states[3][0]) == [seven] * N
    back = [block for block in states[3][1] if len(block.pages)]
    rewritten = {int(page) for block in back for page in block.pages[block.of(Kind.WRITE)]}
    assert {page - start for page in rewritten if start <= page < start + N} == set(range(10, 40))
    assert same(states[3][1]) == (set(range(10)) | set(range(40, 50)) if reported else set())
    assert of(states[4][0]) == [seven] * N
    assert same(states[4][1]) == (set(range(100, 120)) if reported else set())
    assert not [p for b in states[4][1] for p in b.pages[b.of(Kind.WRITE)].tolist() if start <= p < start + N]
    assert of(states[5][0]) == [seven] * 150 + [None] * 50
    advised = [op for block in states[6][1] for op in block.operations if op[0] == "advise"]
    assert any(op[1] <= start and op[1] + op[2] >= start + N and op[3] for op in advised)
    assert of(states[7][0]) == [None] * N
    gone = [op for block in states[7][1] for op in block.operations if op[0] == "unmap"]
    assert any(op[1] <= start and op[1] + op[2] >= start + N for op in gone)


def test_forks_exits_and_other_programs(tmp_path, puppet, track):
    story = Story(tmp_path / "a", Targets(pids=[puppet.pid]), track)
    puppet(f"map 1 {N}")
    puppet(f"write 1 0 {N} 7")
    story.sample()
    child = int(puppet("fork"))
    story.sample()
    puppet("write 1 0 10 8")
    story.sample()
    os.kill(child, 9)
    story.sample()
    puppet("exec")
    story.sample()
    states = story.states()
    begun = [[op for block in blocks for op in block.operations if op[0] in ("start", "fork", "exit")]
             for _, blocks in states]  # fmt: skip
    assert [op[0] for op in begun[0]] == ["start"]
    assert [op[:3] for op in begun[1]] == [("fork", 0, child)]
    both = states[1][0].spaces
    common = np.intersect1d(both[0].pages, both[1].pages)
    assert len(common) >= N
    one, other = (dict(zip(both[n].pages.tolist(), both[n].contents.tolist(), strict=True)) for n in (0, 1))
    assert sum(one[page] == other[page] for page in common.tolist()) >= N
    assert events(states[2][1], Kind.WRITE) >= 10
    assert ("exit",) in begun[3] and 1 not in states[3][0].spaces
    assert [op[0] for op in begun[4]] == ["exit", "start"]


def test_a_program_that_has_begun_another_has_its_name(tmp_path):
    path = tmp_path / "a.pksmrec"
    with subprocess.Popen(["sh", "-c", "read line; exec sleep 60"], stdin=subprocess.PIPE) as child:
        try:
            assert child.stdin
            wait_until_asleep(child.pid)
            with contextlib.closing(Writer(path, {"page_size": SIZE})) as writer:
                with contextlib.closing(Recorder(writer, Targets([child.pid]), SIZE)) as recorder:
                    recorder.sample(0)
                    child.stdin.write(b"\n")
                    child.stdin.flush()
                    while tasks.read_stat(child.pid).command != "sleep":
                        time.sleep(0.001)
                    wait_until_asleep(child.pid)
                    recorder.sample(1)
        finally:
            child.kill()
    with Recording(path) as recording:
        starts = [op for block in recording.blocks() for op in block.operations if op[0] == "start"]
    assert [name for _, _, name in starts] == [f"pid {child.pid} (sh)", f"pid {child.pid} (sleep)"]


def test_an_image_that_changes_is_recorded(tmp_path):
    path = write_file(tmp_path / "ram", [b"a" * SIZE, b"b" * SIZE, bytes(SIZE), b"a" * SIZE], SIZE)
    story = Story(tmp_path / "a", Targets(files=[partial(open_target, path)]))
    story.sample()
    with open(path, "r+b") as file:
        file.seek(SIZE)
        file.write(b"a" * SIZE)
    story.sample()
    states = story.states()
    [first, second] = [state.spaces[0].contents.tolist() for state, _ in states]
    assert first == [1, 2, 0, 1] and second == [1, 1, 0, 1]
    assert [block.kinds.tolist() for block in states[1][1]] == [[Kind.WRITE]]


def test_an_image_that_is_gone_ends_as_a_process_does(tmp_path):
    path, other = (write_file(tmp_path / name, [b"a" * SIZE, bytes(SIZE)], SIZE) for name in ("ram", "other"))

    def progress(tally):
        if tally.samples == 2:
            os.unlink(path)
        if tally.samples == 4:
            raise KeyboardInterrupt

    targets = Targets(files=[partial(open_target, path), partial(open_target, other)])
    tally, interrupted = record(str(tmp_path / "a"), targets, every_ms=1, progress=progress)
    assert tally.samples == 4 and interrupted
    document = summary(tmp_path / "a")
    assert document["whole"] and document["operations"] == {"start": 2, "map": 2, "exit": 1}
    assert document["partial"] and document["warnings"] == [f"{path}: no such file"]


def test_a_quiet_recording_has_lasted_until_it_was_flushed(tmp_path, monkeypatch):
    monkeypatch.setattr("pksm.recording.recorder.FLUSH_S", 0.0)
    path = write_file(tmp_path / "ram", [b"a" * SIZE], SIZE)
    lasted = []

    def progress(tally):
        with Recording(tmp_path / "a") as recording:
            assert recording.check().pages == 1
            lasted.append(recording.last_ms)

    record(str(tmp_path / "a"), Targets(files=[partial(open_target, path)]), 5, 20, progress=progress)
    assert len(lasted) > 1 and sorted(set(lasted)) == lasted


def test_we_do_not_record_ourselves(tmp_path):
    assert os.getpid() not in Roster(Targets(pids=[os.getppid()])).pids()


def test_an_image_that_shrinks_while_it_is_summed_is_named(tmp_path, monkeypatch):
    path = write_file(tmp_path / "ram", [b"a" * SIZE] * 64, SIZE)

    def read(hasher, source, before, known):
        os.truncate(path, SIZE)
        raise BusError("bytes are gone")

    monkeypatch.setattr(Hasher, "read", read)
    with pytest.raises(PksmError, match=f"^{path}: the file became shorter while it was read"):
        record(str(tmp_path / "a"), Targets(files=[partial(open_target, path)]))


def test_nothing_to_record_is_one_line(tmp_path):
    with pytest.raises(PksmError, match="nothing to record"):
        record(str(tmp_path / "a"), Targets(pids=[2]))
    (tmp_path / "a").touch()
    with pytest.raises(UsageError, match="is there already"):
        record(str(tmp_path / "a"), Targets(pids=[os.getpid()]))


def test_no_file_is_left_if_no_sample_was_taken(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    for track in TRACKS:
        with pytest.raises(PksmError, match="^nothing to record: there is no process 999999999$"):
            record(str(tmp_path / "a"), Targets(pids=[999999999]), track=track)
    with pytest.raises(KeyboardInterrupt):
        record(str(tmp_path / "a"), Targets(files=[interrupted]))
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_whole_after_an_interrupt(tmp_path, puppet):
    def progress(tally):
        if tally.samples == 3:
            raise KeyboardInterrupt

    tally, interrupted = record(str(tmp_path / "a"), Targets(pids=[puppet.pid]), every_ms=1, progress=progress)
    assert interrupted and tally.samples == 3
    with Recording(tmp_path / "a") as recording:
        assert recording.is_whole and recording.end["samples"] == 3
        assert recording.check().pages == recording.end["most_pages"] or recording.check().pages > 0


@pytest.mark.parametrize("at", range(4))
def test_an_interrupt_while_the_file_is_written_waits_until_it_is(tmp_path, puppet, monkeypatch, at):
    """It comes behind any write of the file's: the header, a segment, the end, the directory."""
    interrupts, writes = HeldInterrupts(), [0]

    def write(writer, octets, _write=Writer._write):
        _write(writer, octets)
        if writes[0] == at:
            signal.raise_signal(signal.SIGINT)
        writes[0] += 1

    monkeypatch.setattr(Writer, "_write", write)
    monkeypatch.setattr("pksm.recording.recorder.FLUSH_S", 0)
    how = {"every_ms": 1, "duration_ms": 2, "hold": interrupts.hold}
    with interrupts.installed(), contextlib.suppress(KeyboardInterrupt):
        record(str(tmp_path / "a"), Targets(pids=[puppet.pid]), **how)
    assert writes[0] > at
    if at == 0:
        assert list(tmp_path.iterdir()) == []
        return
    with Recording(tmp_path / "a") as recording:
        assert recording.is_whole and recording.check().pages > 0


def test_only_what_is_written_is_read_and_the_costs_are_in_the_recording(tmp_path, puppet, reported):
    puppet(f"map 1 {N}")
    puppet(f"write 1 0 {N} 7")
    read = []

    def progress(tally):
        read.append(tally.pages_read)
        puppet("write 1 0 20 7")
        if tally.samples == 4:
            raise KeyboardInterrupt

    record(str(tmp_path / "a"), Targets(pids=[puppet.pid]), every_ms=1, progress=progress, track=reported)
    assert read[0] > N and read[3] - read[2] >= 20
    found = summary(tmp_path / "a")
    assert found["track"] == reported and found["untracked"] == 0
    assert found["soft_dirty"] == (reported == "soft-dirty" or bool(written.lacking()))
    assert found["faults"] >= 3 * 20 and found["pause_s"] > 0 and found["events"]["same"] >= 2 * 20
    assert read[3] - read[2] < N + 20, "what nobody wrote is not read"
    assert puppet("map 2 1") == "done", "the process goes on"


def test_what_is_mapped_anew_at_the_same_place_is_not_known(puppet):
    if written.lacking():
        pytest.skip(written.lacking())
    puppet(f"map 1 {N}")
    puppet(f"write 1 0 {N} 7")
    tracked = Written(puppet.pid)
    try:
        assert len(tracked.look()[0]) == 0, "nothing is known at first"
        areas, _ = tracked.look()
        assert len(areas)
        puppet("unmap 1")
        puppet(f"map 1 {N}")
        puppet(f"write 1 0 {N} 8")
        known = {page for start, end in tracked.look()[0].tolist() for page in range(start, end)}
        again = {page for start, end in tracked.look()[0].tolist() for page in range(start, end)}
        assert len(again - known) >= N, "it is from the next look on"
    finally:
        tracked.close()


@pytest.mark.parametrize(("counts", "looked"), [([5, 5, 5], 1), ([5, 6, 6], 2), ([None, None, None], 3)])
def test_frames_are_looked_up_again_when_the_kernel_has_moved_pages(
    tmp_path, puppet, reported, monkeypatch, counts, looked
):
    if not tasks.names_children():
        pytest.skip("this kernel does not name the children of a process")
    puppet("map 0 8")
    puppet("write 0 0 8 1")
    given = iter(counts)
    monkeypatch.setattr(tracking.moves, "count", lambda: next(given))
    found = []
    read = ProcessSource.regions

    def regions(source, *how):
        found.append(source.unmoved is None)
        return read(source, *how)

    monkeypatch.setattr(ProcessSource, "regions", regions)
    with contextlib.closing(
        Recorder(Writer(tmp_path / "a", {"page_size": SIZE}), Targets([puppet.pid]), track=reported)
    ) as recorder:
        for ms in range(2 * tracking.FRAMES_EVERY + 1):
            recorder.sample(ms)
    assert sum(found) == looked


def test_writes_are_not_tracked_where_nobody_can(tmp_path):
    image = write_file(tmp_path / "ram", [b"a" * SIZE], SIZE)
    with pytest.raises(PksmError, match="only the writes of processes can be tracked"):
        record(str(tmp_path / "a"), Targets(files=[partial(open_target, image)]), duration_ms=1, track="writes")
    with pytest.raises(UsageError, match="track: choose from hashes, writes"):
        record(str(tmp_path / "a"), Targets(pids=[os.getpid()]), track="guesses")
    assert not (tmp_path / "a").exists()


def test_what_features_says_of_reported_writes_is_so():
    refused = written.why_not()
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            if refused:
                with pytest.raises(PksmError):
                    Written(child.pid)
            else:
                Written(child.pid).close()
        finally:
            child.kill()


@pytest.mark.kernel  # its memory is opted in: ksmd must not be compared meanwhile
@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_in_part_is_what_a_full_look_finds(tmp_path, puppet, reported, seed, monkeypatch):
    """Pages that are written, come and go, and areas that do, between samples: every column is as if all were read."""
    rng, mapped, taken = random.Random(seed), {1}, []
    take = ProcessSource.take
    monkeypatch.setattr(ProcessSource, "take", lambda *args: taken.append(take(*args)) or taken[-1])
    puppet(f"map 1 {N}")
    with contextlib.closing(
        Recorder(Writer(tmp_path / "a", {"page_size": SIZE}), Targets([puppet.pid]), track=reported)
    ) as recorder:
        for step in range(25):
            wait_until_asleep(puppet.pid, 2, 0.005)  # or it writes to its stack between the two looks
            recorder.sample(step)
            [member] = recorder._live.values()
            with contextlib.closing(open_pid(puppet.pid, "unchecked")) as source:
                whole = Hasher(SIZE).read(source, Snapshot.empty())
            seen = member.seen.pages
            stays = moves.count() == member.moved  # else the kernel has moved pages since their frames were looked up
            for name in ("pages", "sums", "exclusive", *(["frames"] if stays else [])):
                assert np.array_equal(getattr(seen, name), getattr(whole, name)), name
            name, first = rng.choice(sorted(mapped)), rng.randrange(N - 50)
            kind = rng.choice(
                ["write", "write", "write", "drop", "map", "unmap", "mergeable" if step > 20 else "write"]
            )
            if kind == "map":
                mapped.add(name := max(mapped) + 1)
                puppet(f"map {name} {N}")
            elif kind == "unmap" and len(mapped) > 1:
                mapped.remove(name)
                puppet(f"unmap {name}")
            elif kind == "mergeable":
                puppet(f"mergeable {name}")
            elif kind == "drop":
                puppet(f"drop {name} {first} {rng.randrange(1, 50)}")
            else:
                puppet(f"write {name} {first} {rng.randrange(1, 50)} {rng.randrange(5)}")
    assert len([one for one in taken if one is not None]) > 8, "most samples read only what was written"
