"""pksm advise: the verdict first, the document, the file, and one line for whatever is wrong."""

import csv
import io
import json

import numpy as np
import pytest

from pksm import report
from pksm.recording.events import Kind

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.recordings import block, recorded


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """300 pages, half of them in pairs, and 100 zero pages."""
    pages = np.random.default_rng(4).integers(1, 256, (300, 4096), dtype=np.uint8)
    pages[150:] = pages[:150]
    path = tmp_path_factory.mktemp("advise") / "web.img"
    path.write_bytes(pages.tobytes() + bytes(100 * 4096))
    return path


def test_the_verdict_comes_first(image, capfd):
    done = run(capfd, "advise", image, "--least-bytes", "100K")
    assert done.code == 0 and done.err == ""
    assert done.out.startswith("Turn it on: it saves 971.9 KiB,")
    for title in ("What would be saved", "Settings (files of", "ksmd with", "Risk", "Compression instead"):
        assert title in done.out
    assert done.out.count("* ") == 2, "one row is starred, and a line says what that means"
    assert max(map(len, done.out.splitlines())) <= 100


def test_not_worth_it_is_a_sentence_and_no_settings(image, capfd):
    done = run(capfd, "advise", image)
    assert done.code == 0 and done.out.startswith("Not worth it: KSM would save 971.9 KiB net")
    assert "That is below 64.0 MiB." in done.out and "Settings" not in done.out
    refused = run(capfd, "advise", image, "--as", "sysfs")
    assert refused.code == 2 and is_one_line(refused.err) and "nothing to set" in refused.err


def test_the_document_and_the_lines(image, capfd):
    document = json.loads(run(capfd, "advise", image, "--least-bytes", "100K", "--json").out)
    assert document["schema"] == "pksm.advise/1" and faults(document) == []
    assert document["pages"] == 400 and document["verdict"]["kind"] == "turn it on"
    lines = run(capfd, "advise", image, "--least-bytes", "100K", "--csv").out
    rows = list(csv.DictReader(io.StringIO(lines)))
    assert [row["settings"] for row in rows] == [row["label"] for row in document["pareto"]]
    assert [row["starred"] for row in rows].count("1") == 1


@pytest.mark.parametrize("form", ["sysfs", "tmpfiles", "systemd", "libvirt", "qemu"])
def test_only_the_file_is_printed(image, capfd, form):
    done = run(capfd, "advise", image, "--least-bytes", "100K", "--as", form)
    assert done.code == 0 and "ksmd with" not in done.out and "Turn it on" in done.out


def test_a_live_command(capfd):
    done = run(capfd, "advise", "--after", "0.3", "--again", "0.2", "--json", "--", "sleep", "100")
    document = json.loads(done.out)
    assert document["verdict"]["kind"] == "not worth it" and faults(document) == []
    assert document["risk"]["volatile"]["changed"] == 0, "it sleeps"
    assert "not opted in" in [row["cause"] for row in document["why_not_more"]]
    assert "Within 0.2 s 0 pages of" in report.table(document)


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--enough", "0"], "--enough"), (["--again", "1"], "--again"), (["--least-percent", "200"], "--least-percent")],
)
def test_what_is_wrong_is_one_line(image, capfd, options, named):
    done = run(capfd, "advise", image, *options)
    assert done.code == 2 and is_one_line(done.err) and named in done.err


def test_fingerprints_are_advised_on_as_the_memory_they_stand_for(image, capfd, tmp_path):
    keep = tmp_path / "web.fp"
    assert run(capfd, "fingerprint", image, "-o", keep).code == 0
    whole, stands_in = (
        json.loads(run(capfd, "advise", target, "--least-bytes", "100K", "--json").out) for target in (image, keep)
    )
    saved = [[(row["label"], row["saved_bytes"], row["metadata_bytes"]) for row in one["pareto"]]
             for one in (whole, stands_in)]  # fmt: skip
    assert saved[0] == saved[1] and {row[1] for row in saved[0]} == {250 * 4096}
    assert stands_in["verdict"]["net_bytes"] == whole["verdict"]["net_bytes"]
    assert (
        stands_in["compressing"]["percent"] is None and stands_in["risk"]["back_bytes"] == whole["risk"]["back_bytes"]
    )


def test_a_recording_is_advised_on_by_what_it_would_have_saved(capfd):
    pages = [(page, Kind.BIRTH, page // 2) for page in range(200)]
    with recorded([block(0, 0, [("start", 1, "web"), ("map", 0, 200, "heap", False)], pages)], 5000) as path:
        document = json.loads(run(capfd, "advise", path, "--least-bytes", "100K", "--json").out)
        assert faults(document) == [] and document["verdict"]["kind"] == "turn it on"
        assert document["verdict"]["names"] == ["web (pid 1)"] and document["recorded"]["seconds"] == 5
        shown = run(capfd, "advise", path, "--least-bytes", "100K")
        assert shown.code == 0 and "of the recording, after its own records" in " ".join(shown.out.split())
        sysfs = run(capfd, "advise", path, "--least-bytes", "100K", "--as", "sysfs")
        assert sysfs.code == 0 and "pages_to_scan" in sysfs.out
        for more in (["--again", "1"], [path], ["--tenants", "user"]):
            refused = run(capfd, "advise", path, *more)
            assert refused.code == 2 and is_one_line(refused.err) and "recording" in refused.err
