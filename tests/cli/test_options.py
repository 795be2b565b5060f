"""One grammar for times, sizes, numbers and names, in all verbs."""

import argparse
import json
import os
import subprocess
from typing import get_args

import pytest

from pksm.cli import commands, options
from pksm.documents.scan import View
from pksm.scan import intake

from support.cli_runs import is_one_line, run


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("10s", 10), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5", 1.5), (".5s", 0.5), ("5 s", 5),
     ("100us", 1e-4), ("0", 0)],
)  # fmt: skip
def test_times(text, seconds):
    assert options.seconds(text) == pytest.approx(seconds)
    if not text[-1].isdigit():
        assert options.milliseconds(text) == round(1000 * seconds)


def test_times_without_a_unit_have_that_of_the_option():
    assert options.seconds("250") == 250 and options.milliseconds("250") == 250


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("4096", 4096), ("4K", 4096), ("4k", 4096), ("4KiB", 4096), ("4KB", 4096), ("64M", 64 << 20), ("64MiB", 64 << 20),
     ("1G", 1 << 30), ("2 T", 2 << 40), ("512B", 512)],
)  # fmt: skip
def test_sizes(text, n_bytes):
    assert options.size(text) == n_bytes


def test_counts():
    assert [options.count(text) for text in ("0", "65536", "64K", "1m")] == [0, 65536, 65536, 1 << 20]


@pytest.mark.parametrize("text", ["7", "7 8 9", "7,8,9", "7, 8,\n9", " 7 "])
def test_process_ids(text):
    assert options.pids(text) == [int(word) for word in text.replace(",", " ").split()]


@pytest.mark.parametrize(
    "text", ["", " ", "-1", "1e3", "inf", "nan", "1w", "1 2", "١", "0x10", "s", "ms", "1sm", "\udcff"]
)
def test_what_is_no_value(text):
    for read in (options.seconds, options.milliseconds, options.size, options.count):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", "a,,b", " "])
def test_what_is_no_name(text):
    with pytest.raises(argparse.ArgumentTypeError):
        options.names(text)


def test_what_pidof_prints_is_taken_in_one_word(capfd):
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(3)]
    try:
        pids = [child.pid for child in children]
        done = run(capfd, "scan", "--json", "--pid", f"{pids[0]} {pids[1]}", "--pid", str(pids[2]))
        assert done.code == 0, done.err
        assert [source["pid"] for source in json.loads(done.out)["sources"]] == pids
        done = run(capfd, "scan", "--pid", f"{pids[0]},{pids[0]}")
        assert done.code == 2 and is_one_line(done.err, "named twice")
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_views_are_those_of_the_library():
    assert get_args(View) == intake.VIEWS


def test_settings_of_one_policy_alone(capfd):
    done = run(capfd, "simulate", "b", "--pages", "100", "--policy", "ksmd", "--policy", "pksmd", "--json",
               "--set", "pages_to_scan=7", "--set", "ksmd.pages_to_scan=1000")  # fmt: skip
    assert done.code == 0, done.err
    tunables = [one["tunables"]["pages_to_scan"] for one in json.loads(done.out)["runs"]]
    assert tunables == [1000, 7]


def test_options_of_one_name_are_alike():
    """A name, a type and a placeholder, in whatever verb."""
    seen = {}
    for verb, module in commands.every():
        for action in commands.parser(verb, module)._actions:
            for option in action.option_strings:
                seen.setdefault(option, set()).add((action.type, action.metavar, type(action)))
    odd = [option for option, kinds in seen.items() if len(kinds) > 1]
    several = {"--checksum", "--order", "--pages", "--threads"}
    assert set(odd) == several, "others have one of these, a benchmark several"


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("policy", {"pksmd", "ksmd", "nobody"}),
        ("preset", {"pksmd:v0.1", "ksmd:ksm-6.11", "nobody"}),
        ("setting", {"pages_to_scan=", "ksmd.smart_scan="}),
        ("checksum", {"xxh3-64", "jhash2"}),
        ("workload", {"a", "fork-family", "truth:W2"}),
        ("load", {"a", "f"}),
        ("recorded", {"W2"}),
        ("validation", {"fork-after"}),
        ("pid", {str(os.getppid())}),
    ],
)
def test_values_for_completion(capfd, kind, some):
    done = run(capfd, "completion", "--values", kind)
    assert (done.code, done.err) == (0, "") and some <= set(done.out.splitlines())


def test_completion_of_nothing_is_one_line(capfd):
    for arguments in ([], ["bash", "--values", "pid"], ["--values", "colour"], ["csh"]):
        done = run(capfd, "completion", *arguments)
        assert (done.code, done.out) == (2, "") and is_one_line(done.err)


def test_presets_that_no_kernel_was_held_against_are_marked():
    """Made from descriptions of patches: in help, and where presets are listed."""
    marked = {name for name, about in options.policies().items() if about.endswith("(unproven)")}
    assert {"ksmd:ksm-7.3", "ksmd:rhel-9.9-zero"} <= marked and "ksmd:ksm-6.11" not in marked
    assert "unproven, made from descriptions of patches: ksm-7.3, rhel-9.9-zero" in options.policies_about()
