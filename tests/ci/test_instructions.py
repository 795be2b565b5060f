"""ci/instructions.py: what it lets pass, what it refuses and what it then says to do, and when it has to pass."""

import importlib.util
import json
import shutil

import pytest

from support import ROOT

COMPILER = "gcc 1.2.3 x86_64"
INTERPRETER = "CPython 1.2.3, gcc 1.2.3 x86_64"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """ci/instructions.py with a file of its own to accept into, a compiler and valgrind."""
    spec = importlib.util.spec_from_file_location("ci_instructions", ROOT / "ci" / "instructions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ACCEPTED", tmp_path / "accepted.json")
    monkeypatch.setattr(module.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(module, "compiler_name", lambda cc: COMPILER)
    monkeypatch.setattr(module, "interpreter_name", lambda compiler: INTERPRETER)
    monkeypatch.setattr(module, "count_commands", lambda scratch: {"commands": {"scan": 5000}})
    return module


def counting(monkeypatch, script, counts, skipped=None):
    monkeypatch.setattr(script, "count", lambda cc, scratch: (counts, skipped or {}))


def test_what_was_accepted_passes(script, monkeypatch, capsys):
    counting(monkeypatch, script, {"scalar": {"sum": 1000}, "avx2": {"sum": 200}})
    assert script.main(["--accept"]) == 0
    assert json.loads(script.ACCEPTED.read_text()) == {
        COMPILER: {"scalar": {"sum": 1000}, "avx2": {"sum": 200}},
        INTERPRETER: {"commands": {"scan": 5000}},
    }
    assert script.main([]) == 0
    assert "3 counts as accepted" in capsys.readouterr().out


@pytest.mark.parametrize(
    "now, said",
    [
        ({"sum": 1020}, None),
        ({"sum": 980}, None),
        ({"sum": 1021}, "sum: 1,000 accepted, 1,021 now, +2.1 %"),
        ({"sum": 979}, "sum: 1,000 accepted, 979 now, -2.1 %"),
        ({"sum": 1000, "copy": 5}, "copy: not accepted yet"),
        ({}, "sum: not there any more"),
    ],
)
def test_two_percent(script, monkeypatch, capsys, now, said):
    counting(monkeypatch, script, {"scalar": {"sum": 1000}})
    script.main(["--accept"])
    counting(monkeypatch, script, {"scalar": now})
    assert script.main([]) == (said is not None)
    out = capsys.readouterr().out
    assert said is None or (f"scalar: {said}" in out and out.rstrip().endswith(script.ACCEPT))


def test_accepting_leaves_other_compilers_and_levels_alone(script, monkeypatch):
    script.ACCEPTED.write_text(json.dumps({"clang 9": {"scalar": {"sum": 1}}, COMPILER: {"avx2": {"sum": 2}}}))
    counting(monkeypatch, script, {"scalar": {"sum": 3}}, {"avx2": "no such level"})
    script.main(["--accept"])
    assert json.loads(script.ACCEPTED.read_text()) == {
        "clang 9": {"scalar": {"sum": 1}},
        COMPILER: {"avx2": {"sum": 2}, "scalar": {"sum": 3}},
        INTERPRETER: {"commands": {"scan": 5000}},
    }


@pytest.mark.parametrize("now, said", [(5500, None), (5501, "commands: scan: 5,000 accepted, 5,501 now, +10.0 %")])
def test_ten_percent_of_a_command(script, monkeypatch, capsys, now, said):
    counting(monkeypatch, script, {"scalar": {"sum": 1000}})
    script.main(["--accept"])
    monkeypatch.setattr(script, "count_commands", lambda scratch: {"commands": {"scan": now}})
    assert script.main([]) == (said is not None)
    assert said is None or said in capsys.readouterr().out


def test_with_an_unknown_interpreter_kernels_alone_are_checked(script, monkeypatch, capsys):
    script.ACCEPTED.write_text(json.dumps({COMPILER: {"scalar": {"sum": 1000}}}))
    counting(monkeypatch, script, {"scalar": {"sum": 1000}})
    assert script.main([]) == 0
    out = capsys.readouterr().out
    assert f"commands skipped: nobody has counted with {INTERPRETER} yet" in out and "1 counts as accepted" in out


@pytest.mark.parametrize("missing", ["valgrind", "gcc"])
def test_without_a_tool_nothing_is_checked_and_the_reason_said(script, monkeypatch, capsys, missing):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(script.shutil, "which", lambda tool: None if tool == missing else tool)
    assert script.main([]) == 0
    assert capsys.readouterr().out == f"instructions: skipped: {missing} not found\n"


def test_with_an_unknown_compiler_nothing_is_checked_and_the_reason_said(script, capsys):
    script.ACCEPTED.write_text(json.dumps({"clang 9": {}}))
    assert script.main([]) == 0
    assert f"skipped: nobody has counted with {COMPILER} yet" in capsys.readouterr().out


def test_a_level_that_is_not_there_is_left_out_and_the_reason_said(script, monkeypatch, capsys):
    counting(monkeypatch, script, {"scalar": {"sum": 1000}, "avx2": {"sum": 200}})
    script.main(["--accept"])
    counting(monkeypatch, script, {"scalar": {"sum": 1000}}, {"avx2": "no such level"})
    assert script.main([]) == 0
    assert "avx2 skipped: no such level" in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("valgrind") or not shutil.which("gcc"), reason="needs valgrind and gcc")
def test_every_kernel_is_counted(tmp_path):
    spec = importlib.util.spec_from_file_location("ci_instructions", ROOT / "ci" / "instructions.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    counted, skipped = script.count("gcc", tmp_path)
    assert set(counted) | set(skipped) == set(script.LEVELS)
    for accepted in json.loads(script.ACCEPTED.read_text()).values():
        if "commands" in accepted:
            assert accepted["commands"].keys() == script.COMMANDS.keys()
        else:
            assert accepted["scalar"].keys() == counted["scalar"].keys()
    assert counted["scalar"]["checksum xxh3-64"] > 1024 * 64  # 1024 pages, one at least for each 64 bytes
    if "avx2" in counted:
        assert counted["avx2"]["checksum xxh3-64"] < counted["scalar"]["checksum xxh3-64"]
