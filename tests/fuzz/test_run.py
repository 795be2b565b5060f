"""The command: what it makes of a fuzzer's log, what it keeps, and what it prints; the fuzzer is a stand-in."""

import hashlib
import json
import sys

import pytest

from fuzz import core, run
from fuzz.target import dictionary, one_of
from fuzz.targets.table import NAMES, SUBJECTS, target

LOG = """\
#2\tINITED cov: 31 ft: 32 corp: 1/1b exec/s: 0 rss: 75Mb
#512\tpulse  cov: 40 ft: 51 corp: 3/9b lim: 8 exec/s: 256 rss: 75Mb
#3417\tDONE   cov: 41 ft: 52 corp: 4/10b lim: 33 exec/s: 310 rss: 75Mb
stat::number_of_executed_units: 3418
"""
# It takes libFuzzer's options, finds an input, and ends as libFuzzer does then.
FINDER = """
import sys
options = dict(argument[1:].split("=", 1) for argument in sys.argv[1:] if argument.startswith("-"))
open(options["artifact_prefix"] + "crash-0123", "wb").write(b"bad")
open(options["artifact_prefix"] + "slow-unit-0123", "wb").write(b"slow")
print("what went wrong")
print("#7\\tNEW    cov: 5 ft: 6 corp: 2/3b", file=sys.stderr)
sys.exit(77)
"""


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    monkeypatch.setattr(run, "FOUND", tmp_path / "found")
    return tmp_path


def test_counts_of_a_log():
    assert run.counts_of(LOG) == {"executions": 3418, "coverage": 41, "features": 52, "corpus": 4}
    assert run.counts_of(LOG.rpartition("stat")[0])["executions"] == 3417
    assert run.counts_of("nothing") == {"executions": 0, "coverage": 0, "features": 0, "corpus": 0}


def test_what_is_found_is_kept_and_told(places, monkeypatch, capsys):
    monkeypatch.setattr(run, "jobs_of", lambda names: [run.Job(names[0], [sys.executable, "-c", FINDER])])
    stored = places / "results" / "one.json"
    assert run.main(["--seconds", "1", "--json", str(stored), "stat"]) == 1
    name = f"crash-{hashlib.sha256(b'bad').hexdigest()[:12]}"
    assert [path.name for path in (places / "found" / "stat").iterdir()] == [name]
    out, err = capsys.readouterr()
    assert name in out
    assert "7 executions" in out
    assert "what went wrong" in err
    document = json.loads(stored.read_text())
    assert document["schema"] == run.SCHEMA
    assert document["executions"] == document["targets"]["stat"]["executions"] == 7
    assert document["targets"]["stat"]["found"] == [name]
    assert document["machine"]["cores"] >= 1
    assert document["command"].startswith("python -m fuzz.run --seconds 1")


@pytest.mark.parametrize(("name", "has_words"), [("stat", True), ("pagemap", False)])
def test_only_words_make_a_dictionary(places, name, has_words):
    """libFuzzer does not start with an empty one."""
    said = []
    tell = "import sys; sys.exit(' '.join(sys.argv))"
    run.run_one(run.Job(name, [sys.executable, "-c", tell]), 1, said.append)
    assert ("-dict=" in said[0]) is has_words


def test_a_fuzzer_that_does_not_start_is_told(places, monkeypatch, capsys):
    monkeypatch.setattr(run, "jobs_of", lambda names: [run.Job("c-tree", ["false"])])
    assert run.main(["--seconds", "1", "c-tree"]) == 1
    assert "exit code 1" in capsys.readouterr().out


def test_nothing_found_is_fine(places, monkeypatch, capsys):
    monkeypatch.setattr(run, "jobs_of", lambda names: [run.Job("c-tree", ["true"])])
    assert run.main(["--seconds", "1", "c-tree"]) == 0
    assert "nothing" in capsys.readouterr().out


def test_what_cannot_be_run_is_skipped_with_a_line(monkeypatch, capsys):
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(core, "fuzzing_compiler", lambda: None)
    assert run.main(["--seconds", "1"]) == run.NOTHING_TO_RUN
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "atheris" in lines[0]
    assert "clang" in lines[1]


def test_unknown_targets_are_refused(capsys):
    with pytest.raises(SystemExit):
        run.main(["nonsense"])
    assert "unknown target 'nonsense': choose from core" in capsys.readouterr().err


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_table_names_what_there_is(subject):
    module = __import__(f"fuzz.targets.{subject}", fromlist=["TARGETS"])
    assert tuple(module.TARGETS) == SUBJECTS[subject]
    assert all(target(name) is module.TARGETS[name] for name in SUBJECTS[subject])
    assert len(set(NAMES)) == len(NAMES)


def test_words_are_escaped():
    assert dictionary([b'a"\n', b"\xff"]) == '"\\x61\\x22\\x0a"\n"\\xff"\n'


def test_one_input_has_one_choice():
    choices = [one_of("ab", bytes([byte])) for byte in range(50)]
    assert choices == [one_of("ab", bytes([byte])) for byte in range(50)]
    assert set(choices) == {"a", "b"}
