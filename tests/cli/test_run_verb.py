"""pksm run: the command takes our place, opted in to KSM or not."""

import os
import subprocess
import sys

import pytest

from pksm.linux.ksm.opt_in import merges_any

SHOW = "import os; print(os.getpid(), open('/proc/self/ksm_stat').read().split())"


def started(*words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "pksm", "run", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def run_to_end(*words):
    with started(*words) as process:
        out, err = process.communicate(timeout=60)
    return process.pid, process.returncode, out, err


@pytest.mark.kernel
@pytest.mark.skipif(merges_any(os.getpid()) is None, reason="this kernel does not say what has opted in")
@pytest.mark.parametrize("options, said", [([], "yes"), (["--merge"], "yes"), (["--no-merge"], "no")])
def test_the_command_takes_our_place_and_is_opted_in_as_asked(options, said):
    pid, code, out, err = run_to_end(*options, "--", sys.executable, "-c", SHOW)
    assert (code, err) == (0, "")
    assert out.split()[0] == str(pid), "it has our process id"
    words = out.replace("'", "").replace(",", "").replace("]", "").split()
    assert words[words.index("ksm_merge_any:") + 1] == said


def test_its_exit_code_and_signals_are_its_own():
    assert run_to_end("--", "sh", "-c", "exit 7")[1] == 7
    assert run_to_end("--", "sh", "-c", "kill -TERM $$")[1] == -15
    ignored = run_to_end("--", "grep", "SigIgn", "/proc/self/status")[2]
    assert int(ignored.split()[1], 16) & (1 << 12) == 0, "SIGPIPE ends it, as it ends what a shell starts"


@pytest.mark.parametrize(
    "words, said",
    [
        (["--", "/nonexistent"], "cannot be started"),
        ([], "behind --"),
        (["--"], "behind --"),
        (["ls", "-l"], "behind --"),
    ],
)
def test_what_cannot_be_started_is_one_line(words, said):
    _, code, out, err = run_to_end(*words)
    assert code in (1, 2) and not out and said in err and len(err.splitlines()) == 1
