"""Recordings of UKSM, written by hand in the format of booted kernels: what is read, played and compared."""

import json

import pytest

from pksm.errors import PksmError, UsageError
from pksm.policies.uksm.spec import PRESETS
from pksm.validation import truth
from pksm.validation.recorded.uksm.recording import COLUMNS, is_one, read_recordings
from pksm.validation.recorded.uksm.replay import Player
from pksm.validation.recorded.uksm.schedule import steps

from support.cli_runs import is_one_line, run

SCAN = 40  # wake-ups of a stretch of scanning
END = {"after_exit_now": 0, "after_exit_500ms": 500, "after_exit_settled": 5000}


def read(phase, wakes, shared=0, sharing=0, unshared=0, zero=0, ms=None):
    counters = {"pages_shared": shared, "pages_sharing": sharing, "pages_unshared": unshared}
    more = {"full_scans": 1, "pages_scanned": 0, "hash_strength": 64, "ms": 100 * wakes if ms is None else ms}
    return {"k": "read", "phase": phase, "sleep_times": wakes, "KsmZeroPages_kB": 4 * zero} | counters | more


def series(wakes, start=0):
    rows = [[0] * (len(COLUMNS) - 2) + [count, 100 * count] for count in (start, wakes)]
    return {"k": "series", "name": "s", "cols": list(COLUMNS), "rows": rows}


def frames(phase, n):
    return {"k": "frames", "phase": phase, "procs": {}, "frames_total": n}


def recording(operations, readings, w="W_pairs", kernel="U1"):
    return {"kernel": kernel, "w": w, "desc": "", "operations": operations, "readings": readings, "sample_order": None}


def pairs(shared=10, w="W_pairs", kernel="U1"):
    operations = ["sysfs run 0", "spawn 0", "mmap 0 0 20", "fill 0 0 0 20 1 10", "sysfs run 1", "series s 100 40"]
    readings = [read("before_scan", 0), series(SCAN), read("settled", SCAN, shared, 10), frames("settled", 10)]
    now = read("after_exit_now", SCAN, 10, 10)
    readings += [now, read("after_exit_500ms", SCAN + 5), read("after_exit_settled", SCAN + 50)]
    return recording([*operations, "exit 0", "sleep 500", "sleep 4500"], readings, w, kernel)


@pytest.fixture
def written(tmp_path):
    def write(*records):
        path = tmp_path / "uksm.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return str(path)

    return write


def numbers_of(path):
    (one,) = read_recordings(path)
    return {(number.phase, number.counter): (number.kernel_value, number.ours) for number in Player(one).play()}


@pytest.mark.parametrize("kernel", ["U0", "U1", "Z1"])
def test_pairs_merge_and_go_with_their_process(written, kernel):
    numbers = numbers_of(written(pairs(kernel=kernel)))
    assert len(numbers) == 5 * 4 + 1
    assert {pair for pair in numbers.values() if pair[0] != pair[1]} == set()
    assert numbers["settled", "pages_shared"] == (10, 10) and numbers["settled", "frames_total"] == (10, 10)


def test_zero_pages_are_one_frame_until_it_is_known(written):
    operations = ["sysfs run 0", "spawn 0", "mmap 0 0 8", "zero 0 0 0 8", "sysfs run 1", "series s 100 40"]
    readings = [series(SCAN), read("settled", SCAN, zero=8), frames("settled", 1)]
    readings += [{"k": "state", "phase": "settled", "state": {}}, frames("settled", 0)]
    (one,) = read_recordings(written(recording(operations, readings)))
    assert [pair[-2:] for pair in Player(one).play() if pair.counter == "frames_total"] == [(1, 1), (0, 0)]


def test_every_operation_is_done(written):
    operations = [
        *("spawn 0", "mmap 0 0 6", "fill 0 0 0 6 1 3", "flist 0 0 4 0 7 8", "zero 0 0 5 1", "patch 0 0 5 3 9"),
        *("mmap 0 1 4", "vary 0 1 0 4 1 1022 2 100", "varyword 0 1 2 2 0 1023 5", "stridew 0 1 0 4 7 3 77"),
        *("stack 0 2 0 3 1 0", "mmapshared 0 3 5", "fill 0 3 0 5 1 0", "touch 0 0 0 6", "fork 0 1", "exit 0"),
        *("mprotect 1 0 1 2 1", "mprotect 1 0 1 2 3", "mlock 1 0 0 2", "munlock 1 0 0 2", "madvise 1 0 0 1 4"),
        *("madvise 1 1 0 4 13", "madvise 1 1 0 4 12", "mremap 1 0 0 8 0", "mremap 1 0 0 8 89060441849856"),
        *("fill 1 0 6 2 50 0", "munmap 1 1 0 1", "sysfs run 1", "settle 5000 25000"),
    ]
    (one,) = read_recordings(written(recording(operations, [{"k": "settle", "quiet_ms": 5000, "waited_ms": 1}])))
    player = Player(one)
    player.play()
    player.machine.check()
    # region 0: 8 pages but for the one given up; region 1: 3; the stack: 3
    assert player._frames() == 7 + 3 + 3
    words = player.machine.read(player.processes.mms[1], 89060441849856, 8).view("u4")
    assert words[5, 3] == 9 and words[0].sum() == 0 and words[6, 0] != words[7, 0]


def test_a_value_that_the_file_refuses_changes_nothing(written):
    operations, readings = [], []
    for value, shown in ((100, 99), (5, 10), (101, 10), (50, 50)):
        operations += [f"sysfs max_cpu_percentage {value}", "showsysfs max_cpu_percentage"]
        readings.append({"k": "sysfs", "name": "max_cpu_percentage", "value": str(shown)})
    operations += ["sysfs run 2", "showsysfs run", "sysfs cpu_governor low", "showsysfs cpu_ratios"]
    readings += [{"k": "sysfs", "name": "run", "value": "1"}]
    readings += [{"k": "sysfs", "name": "cpu_ratios", "value": "10 20 MAX/2 MAX/1 "}]
    (one,) = read_recordings(written(recording(operations, readings)))
    numbers = Player(one).play()
    assert [number.ours for number in numbers] == [99, 10, 10, 50, 1, 10, 20, -2, -1]
    assert all(number.kernel_value == number.ours for number in numbers)


def test_readings_are_placed_by_their_labels_and_times(written):
    operations = ["sysfs run 0", "spawn 0", "sysfs run 1", "series s 100 40", "fork 0 1", "exit 0", "sysfs run 1"]
    operations += ["series t 100 40", "exit 1", "sleep 500", "sleep 4500"]
    readings = [read("before_scan", 0), series(SCAN), read("settled", SCAN), read("forked_now", SCAN)]
    readings += [read("exit_now", SCAN), read("before_scan", SCAN), series(2 * SCAN), read("settled2", 2 * SCAN)]
    readings += [read(label, 2 * SCAN, ms=200 * SCAN + ms) for label, ms in END.items()]
    (one,) = read_recordings(written(recording(operations, readings)))
    order = [step if isinstance(step, str) else step.get("phase", step["k"]) for step in steps(one)]
    assert order == [
        *("sysfs run 0", "spawn 0", "before_scan", "sysfs run 1", "series s 100 40", "series", "settled"),
        *("fork 0 1", "forked_now", "exit 0", "exit_now", "before_scan", "sysfs run 1", "series t 100 40", "series"),
        *("settled2", "exit 1", "after_exit_now", "sleep 500", "after_exit_500ms", "sleep 4500", "after_exit_settled"),
    ]


def test_the_document(written):
    document = truth(traces=written(pairs(), pairs(shared=11, w="W_wrong")), orders=3)
    assert (document["numbers"], document["equal"], document["unexplained"]) == (42, 41, 1)
    assert document["readings"] == {"U1 settled": (1, 2)}
    (row,) = [row for row in document["rows"] if row["kernel_value"] != row["ours"]]
    assert (row["w"], row["phase"], row["kernel_value"], row["ours"], row["note"]) == ("W_wrong", "settled", 11, 10, "")


def test_what_hangs_on_the_order_of_visits_has_a_band(written):
    operations = ["sysfs run 0", "spawn 0", "mmap 0 0 4096", *(f"fill 0 0 {n} 1 1 0" for n in range(0, 4096, 400))]
    operations += ["sysfs run 1", "series s 100 600"]
    readings = [series(600), read("settled", 600, shared=1, unshared=0), frames("settled", 1)]
    path = written(recording(operations, readings))
    (one,) = read_recordings(path)
    orders = [{number.counter: number.ours for number in Player(one, seed).play()} for seed in range(4)]
    sharing = [numbers["pages_sharing"] for numbers in orders]
    assert {numbers["frames_total"] for numbers in orders} == {1}
    assert min(sharing) >= 10 and len(set(sharing)) > 1  # ptes seen through two entries count twice
    readings[1]["pages_sharing"] = next(value for value in sharing if value != sharing[0])
    document = truth(traces=written(recording(operations, readings)), orders=3)
    (row,) = [row for row in document["rows"] if row["kernel_value"] != row["ours"]]
    assert row["note"] == f"hangs on the order of visits: {min(sharing)} to {max(sharing)} in 4 orders"
    assert document["explained"] == 1 and document["unexplained"] == 0


def test_exit_codes_and_forms(written, capfd):
    good = written(pairs())
    done = run(capfd, "truth", good)
    assert done.code == 0 and "21 of 21 numbers are the kernel's" in done.out
    assert run(capfd, "truth", good, "--policy", "uksm:uksm-fixed").code == 0
    bad = written(pairs(shared=12))
    done = run(capfd, "truth", bad, "--orders", "1", "--json")
    assert done.code == 1 and json.loads(done.out)["unexplained"] == 1
    done = run(capfd, "truth", good, "--policy", "pksmd:fixed")
    assert done.code == 2
    is_one_line(done.err, "UKSM")


def broken(**changes):
    return pairs() | changes


@pytest.mark.parametrize(
    "record, words",
    [
        (broken(kernel="X9"), "unknown kernel 'X9'"),
        (broken(w=3), "field w"),
        (broken(operations=["dance 0"]), "unknown operation 'dance'"),
        (broken(operations=["spawn zero"]), "of the wrong form"),
        (broken(operations=["fork 0 1"]), "of the wrong form"),
        (broken(operations=["spawn 0", "mmap 0 0 99999999"]), "at most"),
        (broken(operations=[7]), "operation 0"),
        (broken(readings=[3]), "reading 0: must be an object"),
        (broken(readings=[{"k": "read"}]), "reading 0: field pages_shared: missing"),
        (broken(readings=[{"k": "series", "name": "s", "cols": ["ms"], "rows": []}]), "field cols"),
        (broken(readings=[series(3) | {"rows": [[1]]}]), "field rows"),
        (broken(readings=[read("x", 10**9)]), "wake-ups"),
        (broken(sample_order=[1, 2]), "field sample_order"),
    ],
)
def test_one_line_for_what_is_wrong(written, record, words, capfd):
    path = written(record)
    with pytest.raises((PksmError, UsageError), match="line 1"):
        truth(traces=path)
    done = run(capfd, "truth", path)
    assert done.code in (1, 2)
    is_one_line(done.err, words)


def test_other_files_are_not_recordings_of_uksm(written, tmp_path):
    assert is_one(written(pairs()))
    for number, text in enumerate(("", "\n", "{}", "nonsense", '{"kernel": "K1", "rounds": []}')):
        other = tmp_path / f"{number}.jsonl"
        other.write_text(text)
        assert not is_one(str(other))


def test_the_presets_of_the_kernels_differ_in_how_they_judge():
    assert PRESETS["uksm-4.14"].quirks ^ PRESETS["uksm-0.1.2"].quirks == {"judge-by-count"}
