"""Makes docs/pksm.1 and docs/bash-completion/pksm of what the command line knows of itself: python ci/make_docs.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pksm import __version__  # noqa: E402
from pksm.cli import exit_codes  # noqa: E402
from pksm.cli.bash import parsers, script  # noqa: E402

ABOUT = """Operating systems can merge memory pages that hold the same bytes (KSM in Linux, PKSM in its patched kernels).
pksm reports what that would save in memory images and live processes: it runs PKSM's merging on their pages outside of
the kernel and gives the exact answer. Results go to stdout, remarks and progress to stderr; no output holds bytes of
pages unless --show-bytes is given."""


def arguments(parser):
    """Return (title, arguments) of each group of a parser that has some, --help apart."""
    groups = [
        (group.title, [action for action in group._group_actions if action.dest != "help"])
        for group in parser._action_groups
    ]
    return [(title, actions) for title, actions in groups if actions]


def roff(text):
    """Return text for a man page: what would be a command or a hyphen to it is neither."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.splitlines())


def man_page():
    """Return the man page."""
    lines = [f'.TH PKSM 1 "" "pksm {__version__}" "User Commands"', ".SH NAME",
             "pksm \\- find out what merging equal memory pages saves", ".SH SYNOPSIS"]  # fmt: skip
    for verb, (_, module) in parsers().items():
        lines += [".br", f".B pksm {verb}", roff(module.USAGE.removeprefix(f"pksm {verb}").strip())]
    lines += [".SH DESCRIPTION", roff(ABOUT)]
    for verb, (parser, module) in parsers().items():
        about, _, rest = module.DESCRIPTION.partition("\n")
        lines += [f".SH PKSM {verb.upper()}", roff(about)]
        for title, actions in arguments(parser):
            lines += [f".SS {roff(title[0].upper() + title[1:])}"]
            for action in actions:
                lines += [".TP", f".B {roff(_name(action))}", roff(_help(action))]
        if rest.strip():
            lines += [".PP", ".nf", roff(rest.strip("\n")), ".fi"]
    lines += [".SH EXIT STATUS", roff(exit_codes.ABOUT.removeprefix("exit codes: ")), ".SH SEE ALSO",
              roff("proc(5), ptrace(2), process_vm_readv(2), cgroups(7)")]  # fmt: skip
    return "\n".join(lines) + "\n"


def _name(action):
    value = action.metavar or action.dest.upper()
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


def _help(action):
    return (action.help or "") % {"default": action.default, "prog": "pksm"}


FILES = {"docs/pksm.1": man_page, "docs/bash-completion/pksm": script}

if __name__ == "__main__":
    for path, make in FILES.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(make(), encoding="utf-8")
