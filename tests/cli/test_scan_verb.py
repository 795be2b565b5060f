"""pksm scan: its three forms of output, its options, and the exit codes of what goes well."""

import csv
import io
import itertools
import json
import random
import shutil
import subprocess

import pytest

import pksm
from pksm.scan.attribution import MOST_SOURCES

from model.oracle import answer
from support.cli_runs import command, environment, is_one_line, run, run_apart
from support.memory_sources import write_file
from support.writers.lime import avml, lime

SIZE = 4096


def random_files(directory, seed, holes=True):
    """Write random small files with zero pages, copies and holes; return {path: pages, None for a hole}."""
    rng = random.Random(seed)
    contents = [bytes(SIZE), *(rng.randbytes(SIZE) for _ in range(8)), *(bytes(SIZE - 1) + bytes([n]) for n in (1, 2))]
    files = {}
    for name in ("one", "two"):
        pages = [rng.choice([*contents, None] if holes else contents) for _ in range(rng.randrange(20, 200))]
        pages += [rng.randbytes(SIZE) for _ in range(20)]
        files[write_file(directory / name, pages, SIZE)] = pages
    return files


@pytest.mark.parametrize("seed", range(5))
def test_json_equals_brute_force(tmp_path, capfd, seed):
    files = random_files(tmp_path, seed)
    done = run(capfd, "scan", "--json", *files)
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    pages = [page for contents in files.values() for page in contents if page is not None]
    truth = answer(pages)
    assert result["schema"] == "pksm.scan/1"
    assert result["totals"] == {
        "pages": len(pages),
        "zero": truth.zero_pages,
        "distinct": truth.distinct,
        "duplicates": truth.pages_sharing,
        "pages_shared": truth.pages_shared,
        "pages_sharing": truth.pages_sharing + truth.zero_pages,
        "pages_zero_sharing": truth.zero_pages,
        "pages_unshared": truth.distinct - truth.pages_shared - (truth.zero_pages > 0),
    }
    assert [source["name"] for source in result["sources"]] == list(files)
    for source, contents in zip(result["sources"], files.values(), strict=True):
        own = [page for page in contents if page is not None]
        assert source["duplicates"] == answer(own).pages_sharing
        assert source["pages"]["hole"] == len(contents) - len(own)


def test_csv_has_a_row_for_each_source_and_one_for_all(tmp_path, capfd):
    files = random_files(tmp_path, 11)
    result = json.loads(run(capfd, "scan", "--json", *files).out)
    done = run(capfd, "scan", "--csv", *files)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert (done.code, done.err) == (0, "")
    assert [row["name"] for row in rows] == [*files, "total"]
    shares = []
    for row, contents in zip(rows, [*files.values(), list(itertools.chain(*files.values()))], strict=True):
        own = [page for page in contents if page is not None]
        truth = answer(own)
        numbers = {name: int(value) for name, value in row.items() if name not in ("name", "kind", "command", "user")}
        shares.append(numbers.pop("share_bytes"))
        assert numbers == {
            "page_size": SIZE,
            "pages": len(own),
            "data": len(own) - truth.zero_pages,
            "zero": truth.zero_pages,
            "hole": len(contents) - len(own),
            "excluded": 0,
            "mappings": len(own),
            "lost": 0,
            "racy": 0,
            "distinct": truth.distinct,
            "duplicates": truth.pages_sharing,
            "saving_pages": truth.zero_pages + truth.pages_sharing,
            "saving_zero_pages": truth.zero_pages,
            "saving_nonzero_pages": truth.pages_sharing,
            "saving_bytes": (truth.zero_pages + truth.pages_sharing) * SIZE,
            "net_bytes": (truth.zero_pages + truth.pages_sharing) * SIZE
            - len(own) * result["saving"]["metadata_bytes"] // result["totals"]["pages"],
        }
    assert int(rows[-1]["net_bytes"]) == result["saving"]["net_bytes"]
    assert abs(shares[-1] - result["saving"]["bytes"]) <= 2 and shares[-1] == sum(shares[:-1])


def test_no_output_holds_page_bytes(tmp_path, capfd):
    secret = b"correct horse battery staple"
    path = write_file(tmp_path / "ram", [secret.ljust(SIZE, b".")] * 3 + [b"\xa7" * SIZE] * 3, SIZE)
    for form in ([], ["--json"], ["--csv"]):
        done = run(capfd, "scan", *form, path)
        assert done.code == 0
        for word in ("correct", "staple", secret.hex(), "a7a7", "167, 167", "\\xa7"):
            assert word not in done.out + done.err
    prints = tmp_path / "prints"
    assert run(capfd, "fingerprint", "-o", prints, path).code == 0
    assert b"correct" not in prints.read_bytes() and b"\xa7\xa7" not in prints.read_bytes()
    # Only where it is asked for.
    assert "correct" in run(capfd, "scan", "--show-bytes", path).out
    groups = json.loads(run(capfd, "scan", "--json", "--show-bytes", path).out)["groups"]
    assert {bytes.fromhex(group["bytes"]["hex"])[:7] for group in groups} == {secret[:7], b"\xa7" * 7}


def test_options_reach_the_engine(tmp_path, capfd):
    path = write_file(tmp_path / "ram", [bytes(SIZE)] * 4, SIZE)
    options = ["--checksum", "jhash2", "--order", "content", "--page-size", "1k", "--threads", "1", "--top", "3"]
    options += ["--view", "mappings", "--policy", "pksmd:v0.1", "--set", "pages_to_scan=5"]
    options += ["--set", "pksmd.period_seconds=7"]
    result = json.loads(run(capfd, "scan", "--json", *options, path).out)
    assert (result["page_size"], result["view"], result["totals"]["pages"]) == (1024, "mappings", 16)
    settings = result["settings"]
    expected = {"checksum": "jhash2", "order": "content", "threads": 1, "top": 3, "preset": "v0.1"}
    expected |= {"pages_to_scan": 5, "period_seconds": 7, "reclaim": "del-list"}
    assert {name: settings[name] for name in expected} == expected
    assert "blind-sample" not in settings["quirks"] and "lifo-batch" in settings["quirks"]


def test_defaults(tmp_path, capfd):
    path = write_file(tmp_path / "ram", [bytes(SIZE)], SIZE)
    settings = json.loads(run(capfd, "scan", "--json", path).out)["settings"]
    assert (settings["pages_to_scan"], settings["preset"], settings["checksum"]) == (65536, "fixed", "xxh3-64")
    assert settings["threads"] >= 1 and settings["top"] == 10
    preset = json.loads(run(capfd, "scan", "--json", "--policy", "pksmd:android-3.4", path).out)["settings"]
    assert preset["pages_to_scan"] == 65536 and preset["order"] == "checksum"


def test_targets_may_stand_anywhere(tmp_path, capfd):
    one, two = (write_file(tmp_path / name, [name.encode().ljust(SIZE)], SIZE) for name in ("one", "two"))
    result = json.loads(run(capfd, "scan", one, "--json", two, "--top", "1").out)
    assert [source["name"] for source in result["sources"]] == [one, two]


def test_sizes_of_pages(tmp_path, capfd):
    path = write_file(tmp_path / "ram", [bytes(SIZE)] * 1024, SIZE)
    for text, size in (("512", 512), ("4096", 4096), ("64K", 1 << 16), ("2m", 2 << 20), (str(2 << 20), 2 << 20)):
        result = json.loads(run(capfd, "scan", "--json", "--page-size", text, path).out)
        assert result["page_size"] == size and result["totals"]["pages"] == 1024 * SIZE // size


def test_names_of_files_that_terminals_and_encodings_do_not_like(tmp_path, capfd):
    for name in (b"esc\x1b[31m", b"line\nbreak", b"not utf-8 \xff", "ünïcode".encode()):
        path = bytes(tmp_path) + b"/" + name
        with open(path, "wb") as file:
            file.write(bytes(SIZE))
        done = run(capfd, "scan", path)
        assert done.code == 0 and "\x1b" not in done.out and len(done.out.splitlines()) > 5
        assert json.loads(run(capfd, "scan", "--json", path).out)["sources"][0]["name"].encode(
            "utf-8", "surrogateescape"
        ) == path  # fmt: skip
        assert run(capfd, "scan", "--csv", path).code == 0
        assert is_one_line(run(capfd, "scan", path, path).err, "twice")


def test_some_fail_and_the_rest_is_told(tmp_path, capfd):
    path = write_file(tmp_path / "ram", [bytes(SIZE)] * 3, SIZE)
    done = run(capfd, "scan", "--json", tmp_path / "missing", path)
    assert done.code == 3 and is_one_line(done.err, "missing", "no such file")
    result = json.loads(done.out)
    assert result["partial"] and result["totals"]["pages"] == 3
    assert any("missing" in warning for warning in result["warnings"])


@pytest.mark.parametrize("prints", [False, True])
def test_more_files_than_descriptors(tmp_path, capfd, prints):
    """A file that is mapped takes two."""
    paths = [write_file(tmp_path / f"{number}", [bytes([number % 7]) * SIZE], SIZE) for number in range(300)]
    if prints:
        assert run(capfd, "fingerprint", "-o", tmp_path / "prints", paths[0]).code == 0
        paths = [shutil.copy(tmp_path / "prints", path) for path in paths]
    argv = ["sh", "-c", 'ulimit -Sn 256; exec "$0" "$@"', *command("scan", "--json", *paths)]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["totals"]["pages"] == 300


@pytest.mark.parametrize(("n_files", "takes"), [(1, False), (2, True), (MOST_SOURCES, True), (33, False)])
def test_a_matrix_is_made_or_missed(tmp_path, capfd, n_files, takes):
    paths = [write_file(tmp_path / f"{number}", [b"a" * SIZE], SIZE) for number in range(n_files)]
    done = run(capfd, "scan", "--matrix", *paths)
    assert done.code == 0 and ("Contents in common" in done.out) == takes
    if takes:
        assert done.err == ""
    else:
        assert is_one_line(done.err, f"--matrix: takes 2 to {MOST_SOURCES} sources, not {n_files}")
    assert f"2 to {MOST_SOURCES} sources" in run(capfd, "scan", "--help").out
    assert run(capfd, "scan", *paths).err == ""


@pytest.mark.parametrize("columns", ["60", "80"])
def test_bytes_that_are_shown_cut_nothing_off(tmp_path, capfd, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    noise = random.Random(1).randbytes(SIZE)
    text, quotes = b"one line\tand more" * 240, b"'\"\\" * 1365 + b"."
    write_file(tmp_path / "ram", [bytes(16) + noise[16:], noise, text[:SIZE], quotes] * 2, SIZE)
    monkeypatch.chdir(tmp_path)
    lines = run(capfd, "scan", "--show-bytes", "ram").out.splitlines()
    plain = run(capfd, "scan", "ram").out.splitlines()
    rows = [line.split(" pages", 1)[1] for line in lines if line.endswith("  ram")]
    assert len(rows) == 4 and all(line.endswith("  ram") for line in plain if " of 2 pages" in line)
    told = [line.removeprefix("    first bytes: ") for line in lines if line.startswith("    first bytes: ")]
    assert sorted(told) == sorted([noise[16:32].hex(), noise[:16].hex(), text[:16].hex(), repr(quotes[:16].decode())])
    assert max(map(len, lines)) <= int(columns)


@pytest.mark.parametrize("make", [lime, avml])
def test_an_image_cut_off_in_a_header_is_partial(tmp_path, capfd, make):
    path = tmp_path / "image"
    path.write_bytes(make([(0, bytes(3 * SIZE))]) + make([(16 * SIZE, bytes(SIZE))])[:20])
    done = run(capfd, "scan", "--json", path)
    result = json.loads(done.out)
    assert done.code == 3 and "header that is cut off" in done.err
    assert result["partial"] and result["totals"]["pages"] == 3


def test_damaged_fingerprints_are_as_an_image_that_can_not_be_read(tmp_path, capfd):
    path = write_file(tmp_path / "ram", [bytes(SIZE)] * 3, SIZE)
    prints, damaged = tmp_path / "prints", tmp_path / "damaged"
    assert run(capfd, "fingerprint", "--page-size", "1k", "-o", prints, path).code == 0
    damaged.write_bytes(prints.read_bytes()[:-1])
    for other in (["--page-size", "1k", path], [prints]):
        done = run(capfd, "scan", "--json", damaged, *other)
        result = json.loads(done.out)
        assert done.code == 3 and is_one_line(done.err, str(damaged), "is damaged")
        assert result["partial"] and result["page_size"] == 1024 and result["totals"]["pages"] == 12
    done = run(capfd, "scan", damaged)
    assert done.code == 1 and is_one_line(done.err, str(damaged), "is damaged")


def test_warnings_are_remarks(tmp_path, capfd):
    path = write_file(tmp_path / "ram", [bytes(SIZE)], SIZE)
    with open(path, "ab") as file:
        file.write(b"over")
    done = run(capfd, "scan", path)
    assert done.code == 0 and is_one_line(done.err, "4 bytes over", "truncated") and "truncated" not in done.out


def test_help_and_version(capfd):
    done = run(capfd, "--version")
    assert (done.code, done.out, done.err) == (0, f"pksm {pksm.__version__}\n", "")
    done = run(capfd, "--help")
    assert done.code == 0 and done.err == ""
    for word in ("scan", "features", "demo", "exit codes", "130"):
        assert word in done.out
    done = run(capfd, "scan", "--help")
    assert done.code == 0 and done.err == ""
    for option in ("--pid", "--after", "--checksum", "--order", "--policy", "--set", "--page-size", "--threads",
                   "--view", "--top", "--json", "--csv"):  # fmt: skip
        assert option in done.out


def test_as_a_module():
    done = run_apart("--version")
    assert (done.code, done.out, done.err) == (0, f"pksm {pksm.__version__}\n", "")
