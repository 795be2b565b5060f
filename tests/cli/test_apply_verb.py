"""pksm apply and restore: what they set, on files that stand for the kernel's, and once on the kernel's own."""

import json
import os

import pytest

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import memory_facts, run_files
from pksm.linux.ksm import Borrowed, applied, borrow, files
from pksm.report import apply as report

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.page_documents import advised

CHOICES = {"advisor_mode": ("none", "scan-time")}
BEFORE = {
    "run": "0", "pages_to_scan": "100", "sleep_millisecs": "20", "use_zero_pages": "0", "smart_scan": "1",
    "advisor_mode": "none", "pages_sharing": "30", "ksm_zero_pages": "10",
}  # fmt: skip
WANTED = {"run": 1, "advisor_mode": "none", "pages_to_scan": 4000, "use_zero_pages": 1}


def advice(tmp_path, settings=WANTED):
    document = advised()
    document["settings"] = [
        {"name": name, "value": value, "default": 0, "reason": f"why {name}"} for name, value in settings.items()
    ]
    path = tmp_path / "advice.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A folder with KSM's files; who writes them in the wrong order is refused as the kernel does it."""
    folder = tmp_path / "ksm"
    folder.mkdir()
    log = []

    def put(name, value):
        words = [f"[{word}]" if word == value else word for word in CHOICES.get(name, ())]
        (folder / name).write_text(" ".join(words) if words else f"{value}\n")

    def write(name, value):
        value = str(value)
        if name == "pages_to_scan" and files.read("advisor_mode") != "none":
            raise PksmError("pages_to_scan: the kernel refuses it: the advisor is on")
        if value == "666":
            raise PksmError(f"{name}: the kernel refuses 666")
        put(os.path.basename(name), value)
        log.append((os.path.basename(name), value))

    for name, value in BEFORE.items():
        put(name, value)
    put("max_ptes_none", "511")
    monkeypatch.setattr(files, "DIRECTORY", str(folder))
    monkeypatch.setattr(files, "write", write)
    monkeypatch.setattr(memory_facts, "MAX_PTES_NONE", str(folder / "max_ptes_none"))
    monkeypatch.setattr(run_files, "directory", lambda: str(tmp_path / "run"))
    monkeypatch.setattr(run_files, "DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr(applied, "DIRECTORY", str(tmp_path / "lib"))
    return log


def now():
    return {name: str(files.read(name)) for name in BEFORE}


def done(capfd, *words, code=0):
    made = run(capfd, *map(str, words), "--json")
    assert made.code == code, made.err
    document = json.loads(made.out)
    assert faults(document) == []
    return document


def test_advice_is_applied_and_taken_back(capfd, kernel, tmp_path):
    path = advice(tmp_path, WANTED | {memory_facts.MAX_PTES_NONE: 0})
    document = done(capfd, "apply", path)
    assert now() == BEFORE | {name: str(value) for name, value in WANTED.items()}
    assert kernel[-1] == ("run", "1") and ("max_ptes_none", "0") in kernel
    assert all(row["done"] and row["reason"] == f"why {row['name']}" for row in document["settings"])
    assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o700
    restored = done(capfd, "restore", "--applied")
    assert now() == BEFORE and files.read(memory_facts.MAX_PTES_NONE) == 511
    assert ("run", "2") in kernel[len(document["settings"]) :], "KSM did not run: what is merged is unmerged"
    assert {row["name"] for row in restored["settings"]} == {row["name"] for row in document["settings"]}
    assert not os.listdir(tmp_path / "lib")
    assert "nothing" in done(capfd, "restore", "--applied")["warnings"][0]
    assert run(capfd, "restore", "--applied", "--csv").out.startswith("name,path,before,value,")


def test_tables_fit_a_terminal(capfd, kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder = "/sys/kernel/mm/transparent_hugepage/khugepaged"
    row = {"before": "1", "value": "1", "reason": "", "done": True, "why_not": ""}
    rows = [{**row, "name": "run", "path": "/sys/kernel/mm/ksm/run"}]
    rows += [{**row, "name": f"{folder}/max_ptes_none", "path": f"{folder}/max_ptes_none", "value": "0"}]
    shown = report.table({"settings": rows, "dry_run": False, "record": "/var/lib/pksm/applied.json"}, 80, undo="undo")
    assert max(map(len, shown.splitlines())) <= 80
    assert "run                 1      1  unchanged" in shown and f"max_ptes_none is\n{folder}/max_ptes_none." in shown
    made = run(capfd, "apply", "--dry-run", str(advice(tmp_path, {"run": 1, "pages_to_scan": BEFORE["pages_to_scan"]})))
    assert [line.split(maxsplit=3)[3] for line in made.out.splitlines()[1:3]] == ["unchanged", "would be set"]


def test_what_was_set_meanwhile_is_shown_as_what_was_there(capfd, kernel, tmp_path):
    done(capfd, "apply", advice(tmp_path))
    files.write("pages_to_scan", 77)
    for words in (["--dry-run"], []):
        rows = done(capfd, "restore", "--applied", *words)["settings"]
        assert {row["name"]: (row["before"], row["value"]) for row in rows}["pages_to_scan"] == ("77", "100")
    assert now() == BEFORE


def test_a_dry_run_changes_nothing(capfd, kernel, tmp_path):
    rows = done(capfd, "apply", "--dry-run", advice(tmp_path))["settings"]
    assert {row["name"]: (row["before"], row["value"], row["done"]) for row in rows}["run"] == ("0", "1", False)
    assert now() == BEFORE and kernel == [] and not (tmp_path / "lib").exists()
    run(capfd, "apply", str(advice(tmp_path)))
    again = now()
    assert len(done(capfd, "restore", "--applied", "--dry-run")["settings"]) == len(WANTED) and now() == again


def test_applied_twice_goes_back_to_the_beginning(capfd, kernel, tmp_path):
    run(capfd, "apply", str(advice(tmp_path)))
    run(capfd, "apply", str(advice(tmp_path, {"pages_to_scan": 77, "sleep_millisecs": 5})))
    assert now()["pages_to_scan"] == "77"
    run(capfd, "restore", "--applied")
    assert now() == BEFORE


def test_the_advisor_is_switched_on_and_off_in_order(capfd, kernel, tmp_path):
    run(capfd, "apply", str(advice(tmp_path, {"advisor_mode": "scan-time", "run": 1})))
    files_before = now()
    assert files_before["advisor_mode"] == "scan-time"
    (tmp_path / "ksm/pages_to_scan").write_text("5000\n")  # as the advisor does
    run(capfd, "restore", "--applied")
    assert now() == BEFORE


def test_what_is_refused_takes_the_rest_back(capfd, kernel, tmp_path):
    made = run(capfd, "apply", str(advice(tmp_path, {"use_zero_pages": 1, "pages_to_scan": 666, "run": 1})))
    assert made.code == 1 and is_one_line(made.err) and "refuses 666" in made.err
    assert now() == BEFORE and not os.listdir(tmp_path / "lib")


def test_what_does_not_fit_is_not_unmerged(capfd, kernel, tmp_path, monkeypatch):
    run(capfd, "apply", str(advice(tmp_path)))
    before = now()
    monkeypatch.setattr(memory_facts, "available_bytes", lambda: 39 * 4096)
    made = run(capfd, "restore", "--applied")
    assert made.code == 1 and is_one_line(made.err) and "available" in made.err and now() == before


def test_a_setting_that_the_kernel_lacks_is_left_out(capfd, kernel, tmp_path):
    document = done(capfd, "apply", advice(tmp_path, {"merge_across_nodes": 0, "run": 1}), code=3)
    assert [row["name"] for row in document["settings"]] == ["run"] and "merge_across_nodes" in document["warnings"][0]


def test_a_boot_ends_it(capfd, kernel, tmp_path, monkeypatch):
    run(capfd, "apply", str(advice(tmp_path)))
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(run_files, "BOOT_ID", str(tmp_path / "boot"))
    before = now()
    assert done(capfd, "restore", "--applied")["settings"] == [] and now() == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"/etc/passwd": 0}, "/etc/passwd: not a setting"),
        ({"../../power/state": 0}, "not a setting"),
        ({"run": 2}, "run: 2: not a value"),
        ({"pages_to_scan": -1}, "-1: not a value"),
        ({"advisor_mode": "none\nx"}, "not a value"),
        ({}, "nothing to set"),
    ],
)
def test_settings_that_advice_cannot_have(capfd, kernel, tmp_path, settings, words):
    made = run(capfd, "apply", str(advice(tmp_path, settings)))
    assert made.code == 2 and is_one_line(made.err) and words in made.err and kernel == []


def test_other_documents_are_no_advice(capfd, kernel, tmp_path):
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"schema": "pksm.names/1", "names": []}))
    for words in (["apply"], ["apply", str(path)], ["apply", str(tmp_path / "none")], ["restore"]):
        made = run(capfd, *words)
        assert made.code in (1, 2) and is_one_line(made.err) and made.out == ""


def test_while_ksmd_is_borrowed_nothing_is_applied(capfd, kernel, tmp_path):
    with borrow.alone():
        made = run(capfd, "apply", str(advice(tmp_path)))
    assert made.code == 77 and is_one_line(made.err) and now() == BEFORE


def test_without_ksm_it_is_one_line(capfd, kernel, tmp_path, monkeypatch):
    path = advice(tmp_path)
    monkeypatch.setattr(files, "DIRECTORY", str(tmp_path / "nowhere"))
    for words in (["apply", str(path)], ["restore", "--applied"]):
        made = run(capfd, *words)
        assert made.code == 77 and is_one_line(made.err) and "no KSM" in made.err


@pytest.mark.kernel
def test_on_the_running_kernel(capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(applied, "DIRECTORY", str(tmp_path / "lib"))
    try:
        with Borrowed() as borrowed:
            had = {name: str(value) for name, value in borrowed.saved.items()}
    except UnsupportedError as error:
        pytest.skip(str(error))
    try:
        run(capfd, "apply", str(advice(tmp_path, {"pages_to_scan": 1234, "use_zero_pages": 1, "run": 1})))
        assert [files.read(name) for name in ("pages_to_scan", "use_zero_pages", "run")] == [1234, 1, 1]
    finally:
        run(capfd, "restore", "--applied")
    left = {name: str(value) for name, value in files.knobs().items()}
    assert left == had
