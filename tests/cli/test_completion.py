"""Completion: what stands next, and that bash, zsh and fish offer it. Shells that are not here are skipped."""

import argparse
import os
import pty
import shlex
import shutil
import subprocess
import sys
import types

import pytest

from pksm.cli import commands
from pksm.cli.completion import scripts, values
from pksm.cli.completion.complete import complete
from pksm.linux.proc import processes

from support.cli_runs import environment, run

LINES = [
    ("pksm sc", "scan"),
    ("pksm scan --fr", "--freeze --freeze-timeout"),
    ("pksm scan --racy ", "keep drop unchecked"),
    ("pksm scan --racy=d", "--racy=drop"),
    ("pksm scan --view m", "mappings"),
    ("pksm scan --after ", ""),
    ("pksm scan --order checksum", "checksum checksum-content"),
    ("pksm features --", "--json --csv --help"),
    ("pksm features --json --", "--help"),
    ("pksm checksum ", "profile list sum --help"),
    ("pksm checksum sum crc32", "crc32c crc32"),
    ("pksm checksum profile --strategies crc32", "crc32c crc32"),
    ("pksm checksum colour ", ""),
    ("pksm bench --load a,", "a,a a,b a,c a,d a,e a,f a,p"),
    ("pksm simulate fork", "fork-family"),
    ("pksm simulate --pages 10 fork", "fork-family"),
    ("pksm simulate fork-family --jso", "--json"),
    ("pksm truth W8", "W8_small"),
    ("pksm validate --workload fork-b", "fork-before"),
    ("pksm completion ", "bash zsh fish"),
    ("pksm scan --policy pksmd:v0", "pksmd:v0.1 pksmd:v0.2"),
    ("pksm simulate b --policy nobody,ksmd:ksm-6.11", "nobody,ksmd:ksm-6.11"),
    ("pksm simulate b --set ksmd.pages_to", "ksmd.pages_to_scan="),
    ("pksm simulate b --policy ksmd:ksm-3.x --set pksmd.", ""),
    ("pksm scan --set order=", "order=content order=checksum order=checksum-content"),
    ("pksm sweep b --policy ksmd --vary pages_to", "pages_to_scan="),
    ("pksm sweep b --vary pages_to_scan=", ""),
    ('pksm scan "a b" --vi', "--view"),
    ("pksm scan 'a b", ""),
    ("pksm scan --", "--pid --all --cgroup"),
    ("pksm demo -- ", ""),
    ("sudo", ""),
    ("", ""),
]


def words(line):
    return [word for word, _ in complete(line).words]


@pytest.mark.parametrize(("line", "expected"), LINES)
def test_what_can_stand_next(line, expected):
    assert words(line)[: len(expected.split()) or None] == expected.split()


def test_options_that_may_be_repeated_are_offered_again():
    assert "--pid" in words("pksm scan --pid 1 -") and "--top" not in words("pksm scan --top 1 -")
    assert "--csv" not in words("pksm scan --json -"), "they exclude each other"


def test_files_and_commands_are_left_to_the_shell():
    assert complete("pksm scan ra").files and not complete("pksm scan --pid ").files
    assert complete("pksm fingerprint -o ").files and complete("pksm simulate ").files
    for line in ("record ", "record --info ", "apply ", "report ", "fleet ", "truth "):
        assert complete(f"pksm {line}").files, line
    assert not complete("pksm advise --as ").files and not complete("pksm simulate b --set ").files
    assert complete("pksm scan -- ").command and complete("pksm scan -- ls ").files
    assert complete("pksm simulate b --set ksmd.").more and not complete("pksm simulate b --set order=").more


def test_a_fresh_verb_needs_no_change(monkeypatch):
    """Its parser is enough: options, choices, and placeholders that stand for the same everywhere."""

    def add_arguments(parser):
        parser.add_argument("what", metavar="WORKLOAD|FILE")
        parser.add_argument("--colour", choices=("red", "green"))
        parser.add_argument("--checksum", metavar="CHECKSUM")
        parser.add_argument("--secret", help=argparse.SUPPRESS)

    fresh = types.SimpleNamespace(HELP="paint", USAGE="pksm paint", DESCRIPTION="Paint.", add_arguments=add_arguments)
    group = types.SimpleNamespace(HELP="more", DESCRIPTION="", VERBS={"paint": fresh})
    monkeypatch.setattr(commands, "VERBS", {**commands.VERBS, "paint": fresh, "more": group})
    for verb in ("paint", "more paint"):
        assert words(f"pksm {verb[:-1]}") == ["paint"]
        assert words(f"pksm {verb} --colour ") == ["red", "green"]
        assert words(f"pksm {verb} --checksum sampled-l") == ["sampled-lines"]
        assert words(f"pksm {verb} fork") == ["fork-family"] and complete(f"pksm {verb} fork").files
        assert words(f"pksm {verb} -") == ["--colour", "--checksum", "--help"]


def test_every_kind_of_value_has_a_placeholder_that_is_used():
    used = set()
    for name, module in commands.every():
        for action in commands.parser(name, module)._actions:
            used |= set(str(action.metavar).split("|"))
    assert set(values.BY_PLACEHOLDER) - used <= {"POLICY", "WORKLOAD"}


def test_processes_are_offered_with_their_names():
    found = dict(values.pids())
    assert str(os.getpid()) not in found, "no process reads itself"
    assert found[str(os.getppid())]


def test_names_of_processes_are_hostile(monkeypatch):
    monkeypatch.setattr(processes, "all_pids", lambda: [7])
    stat = types.SimpleNamespace(command="\x1b[31m$(reboot)`x`\n\t\u202e")
    monkeypatch.setattr("pksm.linux.proc.tasks.read_stat", lambda pid: stat)
    assert complete("pksm scan --pid ").text() == "\n7\t\\x1b[31m$(reboot)`x`\\n\\t\\u202e\n"


def test_control_groups_are_offered_level_by_level(monkeypatch, tmp_path):
    for name in ("a.slice/b c", "a.slice/\x1b[2J", "z"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(processes, "CGROUP_MOUNTS", ("/nowhere", str(tmp_path)))
    assert words("pksm scan --cgroup /") == words("pksm scan --cgroup ") == ["/a.slice/", "/z/"]
    assert complete("pksm scan --cgroup /a").more
    assert complete("pksm scan --cgroup /a.slice/").text() == "more\n/a.slice/b c/\t\n", "names that steer are left out"
    assert words("pksm scan --cgroup /nowhere/") == []


def test_completion_prints_the_scripts(capfd):
    for shell in scripts.FILES:
        done = run(capfd, "completion", shell)
        assert (done.code, done.err, done.out) == (0, "", scripts.script(shell))


def test_completion_answers_the_scripts(capfd):
    assert run(capfd, "completion", "--line", "pksm sc").out == f"\nscan\t{commands.VERBS['scan'].HELP}\n"


@pytest.mark.parametrize("shell", scripts.FILES)
def test_scripts_are_well_formed(shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    checked = subprocess.run([shell, "-n"], input=scripts.script(shell), capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


# ---- bash ----

BASH = """
. "$1"
COMP_LINE="$2" COMP_POINT=${#2}
COMP_WORDS=("$PKSM")
_pksm
[ "${#COMPREPLY[@]}" -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def pksm(tmp_path):
    """The command of this checkout, as a file of that name."""
    path = tmp_path / "bin" / "pksm"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pksm "$@"\n')
    path.chmod(0o755)
    return path


def by_bash(pksm, line, **variables):
    script = str(scripts.Path(scripts.__file__).with_name(scripts.FILES["bash"]))
    done = subprocess.run(["bash", "-c", BASH, "bash", script, line], capture_output=True, text=True,
                          env=environment(PKSM=str(pksm), **variables), cwd=pksm.parent)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pksm sc", ["scan"]),
        ("pksm scan --fr", ["--freeze", "--freeze-timeout"]),
        # readline keeps what stands before the colon or the equals sign
        ("pksm scan --policy pksmd:v0", ["v0.1", "v0.2"]),
        ("pksm scan --racy=d", ["drop"]),
        ("pksm simulate b --policy nobody,ksmd:ksm-6.11", ["ksm-6.11"]),
        ("pksm simulate b --set ksmd.pages_to", ["ksmd.pages_to_scan="]),
        ("pksm checksum sum crc32", ["crc32c", "crc32"]),
        ("pksm simulate p", ["p", "pksm"]),  # a load and a file
        ("pksm nonsense ", []),
    ],
)
def test_bash_offers(pksm, line, expected):
    assert by_bash(pksm, line) == expected


def test_bash_evaluates_no_name(pksm, tmp_path):
    """A name with a command in it is quoted, not run."""
    script = f"#!/bin/sh\nprintf '\\n%s\\t%s\\n' '$(touch {tmp_path}/ran)' '`touch {tmp_path}/ran`'\n"
    pksm.write_text(script)
    (offered,) = by_bash(pksm, "pksm scan ")
    assert offered.startswith("\\$\\(touch") and not (tmp_path / "ran").exists()


# ---- zsh and fish ----

ZSHRC = """
PS1='> '
autoload -Uz compinit
compinit -u -D
source <(pksm completion zsh)
report() { print -r -- "$BUFFER" >$OUT; exit }
zle -N report
bindkey '^X' report
"""


def by_zsh(pksm, line):
    """What the line has become behind the tabulator, in a zsh on a terminal."""
    home, out = pksm.parent.parent, pksm.parent.parent / "out"
    (home / ".zshrc").write_text(ZSHRC)
    path = f"{pksm.parent}:{os.environ['PATH']}"
    ours, theirs = pty.openpty()
    with subprocess.Popen(["zsh", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, cwd=pksm.parent,
                          start_new_session=True,
                          env=environment(PATH=path, ZDOTDIR=str(home), OUT=str(out), TERM="dumb")) as shell:  # fmt: skip
        os.close(theirs)
        os.write(ours, f"{line}\t\x18".encode())
        try:
            while os.read(ours, 4096):
                pass
        except OSError:
            pass  # the shell has closed its terminal
        shell.wait(60)
    os.close(ours)
    return out.read_text().removesuffix("\n")


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("pksm sc", "pksm scan "),
        ("pksm simulate b --policy nobody,ksmd:ksm-6", "pksm simulate b --policy nobody,ksmd:ksm-6.11 "),
        ("pksm scan --set ksmd.pages_to", "pksm scan --set ksmd.pages_to_scan="),
        ("pksm fingerprint -o pk", "pksm fingerprint -o pksm "),
    ],
)
def test_zsh_completes(pksm, line, completed):
    assert by_zsh(pksm, line) == completed


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_evaluates_no_name(pksm, tmp_path):
    real = pksm.read_text()
    words = f"printf '\\n%s\\t%s\\n' '$(touch {tmp_path}/ran)' '`touch {tmp_path}/ran`%B'"
    pksm.write_text(real.replace("\n", f'\ncase "$2" in --line) {words}; exit ;; esac\n', 1))
    assert by_zsh(pksm, "pksm scan ").startswith("pksm scan \\$\\(touch") and not (tmp_path / "ran").exists()


def by_fish(pksm, line):
    script = 'pksm completion fish | source; complete -C "$LINE"'
    path = f"{pksm.parent}:{os.environ['PATH']}"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, cwd=pksm.parent,
                          env=environment(PATH=path, LINE=line, HOME=str(pksm.parent)))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return dict(entry.partition("\t")[::2] for entry in done.stdout.splitlines())


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_completes(pksm):
    assert by_fish(pksm, "pksm sc") == {"scan": commands.VERBS["scan"].HELP}
    assert set(by_fish(pksm, "pksm scan --policy pksmd:v")) == {"pksmd:v0.1", "pksmd:v0.2"}
    assert set(by_fish(pksm, "pksm fingerprint -o pk")) == {"pksm"}
    assert by_fish(pksm, "pksm scan --pid ")[str(os.getpid())]


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_fish_evaluates_no_name(pksm, tmp_path):
    real = pksm.read_text()
    words = f"printf '\\n%s\\t%s\\n' '$(touch {tmp_path}/ran)' '(touch {tmp_path}/ran)'"
    pksm.write_text(real.replace("\n", f'\ncase "$2" in --line) {words}; exit ;; esac\n', 1))
    assert by_fish(pksm, "pksm scan ") == {f"$(touch {tmp_path}/ran)": f"(touch {tmp_path}/ran)"}
    assert not (tmp_path / "ran").exists()
