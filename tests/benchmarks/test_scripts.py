"""The scripts of benchmarks/: what they store and print, and what they say when something is wrong. No speeds here."""

import json
import os
import re
import shutil
import subprocess

import pytest

from pksm.bench import yardsticks
from pksm.errors import PksmError

from support import ROOT

BENCHMARKS = ROOT / "benchmarks"


# ---- run, make_tables ----


@pytest.fixture
def documents(script, tmp_path):
    """benchmarks/run.py with results of its own, and commands that take no time."""
    run = script("run")
    run.RESULTS = tmp_path / "results"
    run.COMMANDS = {
        "engine": ("small.json", "pksm bench --load a,f --pages 128 --repeats 1 --order content,checksum --json"),
        "stored": ("stored.json", 'python -c \'import sys; open(sys.argv[2], "w").write("{}")\' --json FILE'),
        "none": ("none.json", "pksm bench --load q --json"),
        "elsewhere": ("elsewhere.json", "python -c 'raise SystemExit(77)' FILE"),
    }
    return run


def test_results_are_stored_with_their_commands(documents, capfd):
    assert documents.store("engine") and documents.store("stored") and not documents.store("none")
    document = json.loads((documents.RESULTS / "small.json").read_text())
    assert document["schema"] == "pksm.bench/1" and document["command"] == documents.COMMANDS["engine"][1]
    assert {row["pages"] for row in document["rows"]} == {128, yardsticks.CALLS}
    stored = json.loads((documents.RESULTS / "stored.json").read_text())
    assert stored["command"].startswith("python -c") and "FILE" not in stored["command"]
    assert "--json" not in stored["command"]
    assert "none: exit code 2 and no result" in capfd.readouterr().err


def test_what_cannot_be_measured_here_keeps_its_result(documents, capfd):
    documents.RESULTS.mkdir()
    kept = documents.RESULTS / "elsewhere.json"
    kept.write_text("{}")
    assert documents.store("elsewhere") and kept.read_text() == "{}"
    assert "cannot be measured here" in capfd.readouterr().out
    assert documents.main(["nothing"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_a_page_gets_the_figures_of_the_result(script, documents, tmp_path, capsys):
    documents.store("engine")
    make_tables = script("make_tables")
    readme = tmp_path / "README.md"
    make_tables.TABLES = {"bench": (readme, make_tables.engine, ("small",))}
    results, real = documents.RESULTS, make_tables.table
    make_tables.table = lambda name: real(name, results)
    before, after = "# Title\n\ntext | text\n", "\n\nmore text\n"
    readme.write_text(f"{before}<!-- bench:begin -->\nold figures\n<!-- bench:end -->{after}")
    assert make_tables.main(["--check"]) == 1
    assert "old figures" in readme.read_text() and "stale: bench" in capsys.readouterr().err
    assert make_tables.main([]) == 0
    assert make_tables.main(["--check"]) == 0
    text = readme.read_text()
    assert text.startswith(before) and text.endswith(after) and "old figures" not in text
    document = json.loads((results / "small.json").read_text())
    assert document["command"] in text and document["machine"]["kernel"] in text
    head, line, *table = [row for row in text.splitlines() if row.startswith("|")]
    assert head.count("|") == line.count("|") and {row.count("|") for row in table} == {head.count("|")}
    engines = [row for row in document["rows"] if row["engine"] == "pksmd"]
    assert len(table) == len(engines) == 4
    for shown, row in zip(table, engines, strict=True):
        cells = [cell.strip() for cell in shown.strip("|").split("|")]
        beside = {other["engine"]: other["ns_per_page"] for other in document["rows"] if other["load"] == row["load"]}
        assert cells[0] == f"{row['load']} ({row['order']})"
        assert cells[1:5] == [f"{beside[name]:.0f}" for name in ("read", "checksum", "hash table", "ksm twin")]
        assert cells[5:7] == [f"{row['ns_per_page']:.0f}", f"{row['ns_per_page'] / beside['read']:.2f}"]
        assert cells[7:] == [f"{row['pages_per_cpu_s'] / 1e6:.2f}", f"{row['merges_per_cpu_s']:.0f}"]


def test_all_tables_show_the_stored_results(script):
    make_tables = script("make_tables")
    assert make_tables.main(["--check"]) == 0, "python ci/make_tables.py"
    marks = {
        match
        for path in (*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"))
        for match in re.findall(r"<!-- ([\w-]+):begin -->", path.read_text(encoding="utf-8"))
    }
    assert marks - {"tried"} == set(make_tables.TABLES), "that one is of ci/security_table.py"
    for name, (page, _, _) in make_tables.TABLES.items():
        assert f"<!-- {name}:begin -->" in page.read_text(encoding="utf-8")


def test_every_table_has_a_command_that_measures_it_anew(script):
    results = {result for _, _, names in script("make_tables").TABLES.values() for result in names}
    assert {f"{result}.json" for result in results} <= {file for file, _ in script("run").COMMANDS.values()}


def test_the_readme_of_the_project_sums_up_stored_results(script):
    readme = script("make_tables").README.read_text(encoding="utf-8")
    for name, engine, in_words in (
        ("1048576", "read", "reading it once"),
        ("1048576", "pksmd", "pksmd, from birth"),
        ("against-kernel", "kernel's ksmd", "the running kernel's ksmd"),
    ):
        rows = json.loads((BENCHMARKS / "results" / f"{name}.json").read_text())["rows"]
        [row] = [row for row in rows if (row["load"], row["engine"]) == ("f", engine)]
        [line] = [line for line in readme.splitlines() if line.startswith(f"| {in_words}")]
        assert f"| {row['ns_per_page']:,.0f} |" in line


def test_the_table_of_growth_divides_the_last_size_by_the_first(script):
    rows = [
        {"load": "f", "engine": engine, "pages": pages, "ns_per_page": ns}
        for pages, ns in ((64, 100.0), (128, 150.0))
        for engine in ("read", "pksmd")
    ]
    machine = {"cpu": "a processor", "cpu_level": "avx2"}
    text = script("make_tables").curve(
        {"command": "c", "machine": machine, "page_size": 64, "repeats": 3, "rows": rows}
    )
    assert text.splitlines()[-1] == "| f | pksmd | 100 | 150 | 1.50 × |"


def test_readme_gets_the_kernel_s_figures(script):
    """Each row of the table has one figure a load, and how many times the kernel's time it is under."""
    rows = [
        {"engine": engine, "load": load, "pages": 64, "ns_per_page": 1000 / (n + 1) / (1 + (load == "f"))}
        for load in "bf"
        for n, engine in enumerate(script("make_tables").RIVALS)
    ]
    machine = {"cpu": "a processor", "cpu_level": "avx2", "kernel": "6.18"}
    document = {"schema": "pksm.bench/1", "against": "", "machine": machine, "repeats": 5, "rows": rows}
    head, _, rest = script("make_tables").against(document).partition("\n\n")
    titles, _, *lines = rest.splitlines()
    assert "`pksm bench --against kernel --load b,f --pages 64 --repeats 5`" in head and "a processor" in head
    assert titles.split("|")[2:4] == [" b ", " f "]
    assert lines[0] == "| the kernel's ksmd, first scan | 1,000 | 500 |"
    assert lines[2] == "| both | 333 | 167 |"
    assert lines[6] == "| pksmd | 143 (2.3 ×) | 71 (2.3 ×) |"


def test_a_page_without_a_place_is_left_alone(script, tmp_path, capsys):
    make_tables = script("make_tables")
    readme = tmp_path / "README.md"
    make_tables.TABLES = {"bench": (readme, make_tables.engine, ("1048576",))}
    marks = ("<!-- bench:begin -->", "<!-- bench:end -->")
    for text in ("", marks[0], marks[1] + marks[0], "".join(marks) * 2):
        readme.write_text(text)
        assert make_tables.main([]) == 1
        assert readme.read_text() == text
        assert "no place for the table" in capsys.readouterr().err
    assert make_tables.main(["nothing"]) == 2
    assert "no table 'nothing'" in capsys.readouterr().err


# ---- targets ----


def test_all_targets_are_measured(script, tmp_path, capsys, monkeypatch):
    targets = script("targets")
    monkeypatch.setattr(targets.command_rows, "SOURCES", 3)
    monkeypatch.setattr(targets.command_rows, "VIRTUAL_TIME", "200ms")
    stored = tmp_path / "targets.json"
    rows = [row for row in targets.TARGETS if not row.startswith("kernel-")]
    arguments = ["--only", ",".join(rows), "--pages", "256", "--repeats", "1", "--most-seconds", "0"]
    assert targets.main([*arguments, "--directory", str(tmp_path), "--json", str(stored)]) == 0
    document = json.loads(stored.read_text())
    assert sorted(finding["name"] for finding in document["findings"]) == sorted(rows)
    assert all(finding["low"] <= finding["value"] <= finding["high"] for finding in document["findings"])
    said = capsys.readouterr().out
    short = sum(finding["verdict"].startswith("short") for finding in document["findings"])
    assert f"{len(rows)} rows in " in said and f"{short} short" in said
    shown = targets.table(document)
    assert len([line for line in shown if line.startswith("| ")]) == len(rows) + 1
    assert all(any(target.what in line for line in shown) for name, target in targets.TARGETS.items() if name in rows)
    arguments[1] = "sources"
    assert targets.main([*arguments, "--update", "--directory", str(tmp_path), "--json", str(stored)]) == 0
    before, after = (
        {row["name"]: row for row in one["findings"]} for one in (document, json.loads(stored.read_text()))
    )
    assert list(after) == list(before) and [name for name in rows if after[name] != before[name]] == ["sources"]


@pytest.mark.parametrize(
    "more, value, verdict",
    [
        (True, 2.0, "aim"),
        (True, 1.99, "must"),
        (True, 1.0, "must"),
        (True, 0.75, "short by 25 %"),
        (False, 1.0, "aim"),
        (False, 2.0, "must"),
        (False, 2.5, "short by 25 %"),
    ],
)
def test_verdicts(script, more, value, verdict):
    must, aim = (1.0, 2.0) if more else (2.0, 1.0)
    assert script("part_targets").Finding("speed", "x", must, aim, more, value, "").verdict == verdict
    findings = script("findings")
    found = findings.Finding("row", findings.Target("speed", "x", must, aim, more), [value] * 3, "")
    assert found.verdict == verdict and found.is_sure
    wide = findings.Finding("row", findings.Target("speed", "x", must, aim, more), [0.1, value, 9], "")
    assert wide.verdict == verdict and not wide.is_sure and " ?" in wide.line()


def test_rows_are_chosen_one_by_one_or_by_their_beginning(script, capsys):
    targets = script("targets")
    assert targets.wanted("pksmd-f,scan") == {"pksmd-f", "scan-1", "scan-2"}
    assert targets.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(targets.TARGETS)
    for arguments in (["--only", "speed"], ["--pages", "0"], ["--repeats", "0"]):
        assert targets.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("benchmarks/targets.py: ") and error.count("\n") == 1


def test_targets_of_parts_are_all_measured(script, tmp_path, capsys):
    targets = script("part_targets")
    stored = tmp_path / "targets.json"
    arguments = ["--pages", "1500", "--repeats", "1", "--directory", str(tmp_path), "--json", str(stored)]
    assert targets.main(arguments) == 0
    document = json.loads(stored.read_text())
    whats = [finding["what"] for finding in document["findings"]]
    for load in targets.LOADS:
        assert f"load {load}, first pass and merge to rest" in whats
        assert f"load {load}, in wake-ups of 100 pages" in whats
        assert f"load {load}, order content over the twin" in whats
    others = ("sequential read", "growth", "metadata", "order content", "4 KiB", "huge", "jhash2", "idle", "RssAnon")
    others += ("full machine over flat", "8 forks over once", "write fault", "fork of", "copy on write", "munmap")
    others += ("idle wake-up on the machine", "asleep", "running")
    for word in others:
        assert any(word in what for what in whats), word
    said = capsys.readouterr().out
    assert all(what in said for what in whats)
    short = sum(finding["verdict"].startswith("short") for finding in document["findings"])
    assert f"{len(whats)} targets, {short} short" in said


@pytest.mark.parametrize("arguments", [["--only", "speed"], ["--loads", "f,z"], ["--pages", "0"], ["--repeats", "0"]])
def test_targets_of_parts_fail_in_one_line(script, arguments, capsys):
    assert script("part_targets").main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks/part_targets.py: ") and error.count("\n") == 1


# ---- scan_image ----


def test_image_is_scanned_and_the_answer_checked(script, tmp_path, capsys):
    scan_image = script("scan_image")
    [run] = scan_image.measure(300, "f", repeats=1, cpu=min(scan_image.os.sched_getaffinity(0)), directory=tmp_path)
    assert run["wall_s"] > 0 and run["cpu_s"] > 0
    assert list(tmp_path.iterdir()) == []
    load = scan_image.make_image(tmp_path / "image", "f", 300)
    result, _ = scan_image.scan(tmp_path / "image", min(scan_image.os.sched_getaffinity(0)))
    scan_image.check(result, load)
    result["totals"]["duplicates"] += 1
    with pytest.raises(PksmError, match="duplicates should be"):
        scan_image.check(result, load)


def test_own_anonymous_memory_can_be_told(script):
    scan_image = script("scan_image")
    assert scan_image.rss_anon_kib(scan_image.os.getpid()) > 1024
    assert scan_image.rss_anon_kib(1 << 30) == 0


# ---- live_reading ----


def test_live_reading_is_measured_and_checked(script, capsys):
    live_reading = script("live_reading")
    assert live_reading.main(["--pages", "600", "--repeats", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["asleep", "asleep", "running", "running"]
    with live_reading.child(64, "asleep") as (pid, start):
        buffer = live_reading.zeros((1 << 14, 4096))
        regions, _ = live_reading.read_live(pid, buffer)
        live_reading.check(regions, start, 64)
        with pytest.raises(PksmError, match="64 pages were read, not 63"):
            live_reading.check(regions, start, 63)
        buffer ^= 1
        with pytest.raises(PksmError, match="were not read as they are"):
            live_reading.check(regions, start, 64)


# ---- fork_families ----


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("cc") is None, reason="needs root and a C compiler")
def test_fork_families_are_measured_and_checked(script, tmp_path, capsys, monkeypatch):
    fork_families = script("fork_families")
    monkeypatch.setattr(fork_families, "missed", lambda document: [])  # how long it took here and now is not tested
    path = tmp_path / "result.json"
    assert fork_families.main([str(path), "--children", "5", "--pages", "64", "--own", "3"]) == 0
    assert capsys.readouterr().out.startswith("6 processes, ")
    document = json.loads(path.read_text())
    [run], totals = document["runs"], document["totals"]
    assert totals["pages"] >= 64 + 5 * 3 and run["mappings"] >= 6 * 64
    assert totals["duplicates"] >= 64 // 8 + 4, "the last eighth of the parent, and a page of each child"
    with pytest.raises(PksmError, match="distinct should be"):
        fork_families.check({"totals": totals | {"distinct": 1}}, totals)


def test_a_family_that_takes_too_long_or_too_much_is_told(script):
    run = {"wall_s": 21, "peak_mib": 601}
    fork_families = script("fork_families")
    assert fork_families.missed({"children": 5000, "runs": [run]}) == ["21.0 s, not 20", "601 MiB, not 600"]
    assert fork_families.missed({"children": 9, "runs": [run]}) == ["601 MiB, not 600"]
    assert fork_families.missed({"children": 5000, "runs": [run, {"wall_s": 20, "peak_mib": 600}]}) == []


def test_the_stored_family_meets_its_targets(script):
    document = json.loads((BENCHMARKS / "results" / "fork-families.json").read_text())
    fork_families = script("fork_families")
    assert document["children"] >= fork_families.TARGET_CHILDREN and fork_families.missed(document) == []
    assert document["totals"]["pages"] >= document["parent_pages"] + document["children"] * document["written_pages"]


# ---- compare ----


def test_revisions_are_measured_in_pairs(script, tmp_path, monkeypatch, capsys):
    compare = script("compare")
    monkeypatch.setattr(compare, "built", lambda revision: compare.contextmanager(lambda: iter([BENCHMARKS.parent]))())
    assert compare.main(["old", "--head", "new", "--loads", "f,a", "--pages", "256", "--pairs", "2"]) == 0
    head, *loads = capsys.readouterr().out.splitlines()
    assert head.startswith("base old, head new: 256 pages")
    assert [line.split(":")[0] for line in loads] == ["load f", "load a"]
    assert all(len(line.partition(" of ")[2].split()) == 2 for line in loads)


def test_unknown_revision_is_one_line(script, tmp_path, monkeypatch, capsys):
    compare = script("compare")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr(compare, "ROOT", tmp_path)
    assert compare.main(["nosuch", "--pages", "64"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("benchmarks/compare.py: git worktree add") and error.count("\n") == 1


def test_a_process_that_imports_another_pksm_is_noticed(script, tmp_path, capsys):
    compare = script("compare")
    options = compare.argparse.Namespace(pages=64, order="content", batch=64, cpu=min(compare.os.sched_getaffinity(0)))
    with pytest.raises(compare.Failure, match="has imported"):
        compare.Side(tmp_path, options)


# ---- checksums ----


def test_checksums_are_measured_beside_their_libraries(script, monkeypatch, tmp_path, capsys):
    checksums = script("checksums")
    monkeypatch.setattr(checksums, "PAGES", 128)
    monkeypatch.setattr(checksums, "ROUNDS", 1)
    monkeypatch.setattr(checksums.checksums.plugins, "_registered", {})
    monkeypatch.setattr(checksums, "missed", lambda document: document["differ"])  # no speeds here
    path = tmp_path / "result.json"
    assert checksums.main([str(path)]) == 0
    document = json.loads(path.read_text())
    assert document["differ"] == [] and set(document["twins"]) <= set(document["ns"])
    assert {"read", "fused", "xxh3-64", "jhash2"} <= set(document["ns"])
    assert all(ns > 0 for row in document["ns"].values() for ns in row.values())
    assert "xxh3-64" in capsys.readouterr().out


def test_a_checksum_that_is_slower_than_its_library_or_differs_is_told(script):
    document = {
        "ns": {"xxh64": {"hot": 106, "cold": 104}, "twin": {"hot": 100, "cold": 100}},
        "twins": {"xxh64": "twin"},
        "differ": ["xxh64"],
        "times_read_fused_cold": 1.31,
    }
    assert script("checksums").missed(document) == [
        "xxh64 gives other sums than its library",
        "xxh64 hot: 106 ns a page, twin 100",
        "the default with its zero test: 1.31 x read",
    ]
    assert script("checksums").missed({**document, "twins": {}, "differ": [], "times_read_fused_cold": 1.3}) == []


def test_the_stored_checksums_meet_their_targets(script):
    document = json.loads((BENCHMARKS / "results" / "checksums.json").read_text())
    assert script("checksums").missed(document) == []
    assert set(document["twins"]) == {"xxh32", "xxh64", "xxh3-64", "crc32c"}


# ---- injected calls, recording ----


def test_injectors_are_killed_and_counted(script, tmp_path, capfd):
    assert script("injection_kills").main([str(tmp_path / "found"), "--kills", "2"]) == 0
    found = json.loads((tmp_path / "found").read_text())
    assert len(found["targets"]) == capfd.readouterr().out.count("the process goes on") == 6
    assert all(sum(target["killed_before"].values()) == 2 for target in found["targets"].values())


def test_the_costs_of_recording_are_stored(script, tmp_path, capfd):
    recording = script("recording")
    recording.EVERY_S, recording.SAMPLES, recording.HASHED_SAMPLES = 0.1, 2, 2
    recording.TURN_S, recording.TURN_SAMPLES, recording.TURNS = 0.2, 3, 2
    assert recording.main([str(tmp_path / "found"), "--mib", "64", "--hashed-mib", "4"]) == 0
    found = json.loads((tmp_path / "found").read_text())
    row = found["writes"]
    assert row["samples"] == 2 and found["hashes"]["pages_per_sample"] >= 1024 > row["pages_per_sample"] > 0
    assert all(turn["page_s_tracked"] > turn["page_s_alone"] > 0 and turn["tracked"] > 0 for turn in found["turns"])
    assert len(recording.table(found)) == 7 and min(found["copy_ns"]) > 0
    assert capfd.readouterr().out.startswith("tracking 64 MiB: ")


def test_profitable_ranges_meet_their_targets():
    """Opting them in alone saves nearly all for less than half of the scanning, in each stored run."""
    document = json.loads((BENCHMARKS / "results" / "opted-ranges.json").read_text())
    for run in document["every_run"]:
        assert run["profitable"]["saved"] >= 0.95 * run["all"]["saved"] > 0
        assert run["profitable"]["scanned"] <= 0.5 * run["all"]["scanned"]


# ---- snapshots ----


def test_snapshots_are_measured_and_checked(script, tmp_path, capfd):
    snapshots = script("snapshots")
    path = tmp_path / "snapshots.json"
    sizes = ["--pages", "256", "--images", "3", "--each", "128", "--directory", str(tmp_path)]
    assert snapshots.main([*sizes, "--json", str(path)]) == 0
    assert json.loads(path.read_text())["images"] == 3 and "us of CPU per page" in capfd.readouterr().out
    paths, own = snapshots.made(tmp_path, 3, 130)
    assert own == [0, 3, 6], "the last two pages are the first of another 64"
    with pytest.raises(PksmError, match="are of each image alone, found"):
        snapshots.compared(paths, [0, 0, 0], 130)
