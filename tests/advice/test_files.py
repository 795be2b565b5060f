"""Files that make it so: letter by letter, and before the judge that each tool brings along."""

import copy
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pksm.advice.files import FORMS, file_for
from pksm.errors import UsageError

GOLDEN = Path(__file__).parent / "golden"
ACCEPT = "PKSM_ACCEPT"
DOCUMENT = {
    "verdict": {
        "kind": "turn it on",
        "sentence": "Turn it on for all 2: it saves 1.50 GiB, 18.0 % of memory, after what KSM takes for its own records.",
        "names": ["guest web (pid 11 (qemu))", "guest db (pid 12 (qemu))"],
    },
    "settings": [
        {"name": "run", "value": 1, "default": 0, "reason": "KSM does nothing until it is 1."},
        {"name": "pages_to_scan", "value": 1250, "default": 100, "reason": "A reason."},
        {"name": "advisor_mode", "value": "none", "default": "none", "reason": "It stays as it is."},
        {"name": "sleep_millisecs", "value": 20, "default": 20, "reason": "The default."},
        {"name": "use_zero_pages", "value": 1, "default": 0, "reason": "Many are zero."},
        {
            "name": "/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none",
            "value": 0,
            "default": 511,
            "reason": "khugepaged undoes it.",
        },
        {"name": "smart_scan", "value": 1, "default": 1, "reason": "Less CPU."},
        {"name": "max_page_sharing", "value": 256, "default": 256, "reason": "Groups are large."},
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_files_letter_by_letter(form):
    path, shown = GOLDEN / form, file_for(DOCUMENT, form)
    if os.environ.get(ACCEPT):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8"), f"if it should be new: {ACCEPT}=1 python -m pytest {__file__}"


def written(text):
    """What is written, in order: (value, file); a file that older kernels lack is asked for first."""
    return re.findall(r"^(?:\[ ! -e \S+ \] \|\| )?echo (\S+) > (\S+)$", text, re.MULTILINE)


def test_sysfs_is_written_in_an_order_that_the_kernel_takes():
    """pages_to_scan is refused while the advisor is on, and max_page_sharing once pages are shared."""
    names = [path.rpartition("/")[2] for _, path in written(file_for(DOCUMENT, "sysfs"))]
    assert names[-1] == "run" and names[0] == "max_page_sharing"
    assert names.index("advisor_mode") < names.index("pages_to_scan")


def test_prctl_has_five_arguments_wherever_it_is_named():
    for form in FORMS:
        for call in re.findall(r"\.?prctl\(([^)]*)\)", file_for(DOCUMENT, form)):
            assert len(call.split(",")) == 5 and re.sub(r"/\*.*?\*/", "", call).replace(" ", "") == "67,1,0,0,0"
    assert "prctl(" in file_for(DOCUMENT, "sysfs")


def test_the_launcher_opts_in_before_it_runs_a_command():
    line = next(line for line in file_for(DOCUMENT, "sysfs").splitlines() if "python3 -c" in line)
    command = line.removeprefix("# ").replace("COMMAND...", "echo started")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "started\n" or "refused" in done.stderr


def test_a_shell_takes_the_file(tmp_path):
    path = tmp_path / "ksm.sh"
    path.write_text(file_for(DOCUMENT, "sysfs"))
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_drop_in(tmp_path):
    unit, folder = tmp_path / "web.service", tmp_path / "web.service.d"
    folder.mkdir()
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    (folder / "ksm.conf").write_text(file_for(DOCUMENT, "systemd"))
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, env=environment, check=False
    )
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    said = [line for line in done.stderr.splitlines() if "ksm.conf" in line]
    if int(re.search(r"systemd (\d+)", version)[1]) < 254:  # it does not know the key yet, and says so and no more
        said = [line for line in said if not re.search(r"Unknown key (name )?'MemoryKSM'", line)]
    assert said == []


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="no systemd-tmpfiles")
def test_tmpfiles_writes_what_was_advised(tmp_path):
    """The real tool, on files of its own in place of those in /sys."""
    kept = tmp_path / "sys/kernel/mm/ksm"
    kept.mkdir(parents=True)
    pages = tmp_path / "sys/kernel/mm/transparent_hugepage/khugepaged"
    pages.mkdir(parents=True)
    for setting in DOCUMENT["settings"]:
        (pages / "max_ptes_none" if "/" in setting["name"] else kept / setting["name"]).write_text("")
    config = tmp_path / "ksm.conf"
    config.write_text(file_for(DOCUMENT, "tmpfiles").replace("w /sys/", f"w {tmp_path}/sys/"))
    done = subprocess.run(["systemd-tmpfiles", "--create", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (kept / "pages_to_scan").read_text().strip() == "1250" and (kept / "run").read_text().strip() == "1"
    assert (pages / "max_ptes_none").read_text().strip() == "0"


def test_libvirt_is_xml_and_leaves_out_what_defeats_it():
    text = file_for(DOCUMENT, "libvirt")
    root = ElementTree.fromstring(re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    assert root.tag == "memoryBacking" and {child.tag: child.attrib for child in root} == {
        "source": {"type": "anonymous"},
        "access": {"mode": "private"},
    }
    assert all("--" not in comment for comment in re.findall(r"<!--(.*?)-->", text, flags=re.DOTALL))


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_qemu_takes_the_configuration(tmp_path):
    """A guest of it that never runs: QEMU itself says what its memory is."""
    path = tmp_path / "ksm.cfg"
    path.write_text(file_for(DOCUMENT, "qemu").replace('"4G"', '"64M"'))
    command = ["qemu-system-x86_64", "-readconfig", path, "-m", "64M", "-S", "-nodefaults", "-display", "none"]
    done = subprocess.run(
        [*command, "-monitor", "stdio"],
        input="info memdev\nquit\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    said = re.sub(r"\s+", " ", done.stdout)
    assert "memory backend: ram0" in said and "merge: true" in said and "share: false" in said


def test_nothing_is_printed_where_nothing_is_advised():
    document = copy.deepcopy(DOCUMENT)
    document["verdict"] |= {"kind": "not worth it", "sentence": "Not worth it: too little."}
    with pytest.raises(UsageError, match="nothing to set: Not worth it"):
        file_for(document, "sysfs")
    with pytest.raises(UsageError, match="unknown form 'k8s'"):
        file_for(DOCUMENT, "k8s")


def test_names_of_others_write_no_line():
    """A process may be called what it likes: in a file that root puts into /etc it stays inside its comment."""
    name = "web\nUser=root\n[Service]\x1b[2J"
    document = {**DOCUMENT, "verdict": {**DOCUMENT["verdict"], "names": [name]}}
    plainly = {**DOCUMENT, "verdict": {**DOCUMENT["verdict"], "names": ["web"]}}
    for form in FORMS:
        lines, expected = (file_for(one, form).splitlines() for one in (document, plainly))
        assert [line for line in lines if "web" not in line] == [line for line in expected if "web" not in line]
        assert all(line.isprintable() for line in lines)
