"""Makes docs/pksm.1 and docs/bash-completion/pksm of what the command line knows of itself: python ci/make_docs.py."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pksm import __version__  # noqa: E402
from pksm.cli import exit_codes  # noqa: E402
from pksm.cli import main as cli  # noqa: E402
from pksm.policies.pksmd import tunables  # noqa: E402

ABOUT = """Operating systems can merge memory pages that hold the same bytes (KSM in Linux, PKSM in its patched kernels).
pksm tells what that would save in memory images and live processes: it runs PKSM's merging on their pages outside of
the kernel and gives the exact answer. Results go to stdout, remarks and progress to stderr; no output holds bytes of
pages unless --show-bytes is given."""
# What the words behind these options are, where argparse does not know.
WORDS = {
    "--view": ("frames", "mappings"),
    "--order": tunables.SETTINGS["order"].metadata["choices"],
    "--preset": tunables.PRESETS,
}


def parsers():
    """Return {verb: (parser, module)} with the arguments of each verb."""
    made = {}
    for verb, module in cli.COMMANDS.items():
        parser = argparse.ArgumentParser(f"pksm {verb}", usage=module.USAGE, description=module.DESCRIPTION)
        module.add_arguments(parser)
        made[verb] = parser, module
    return made


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


def completion():
    """Return the completion script for bash."""
    verbs, cases = parsers(), []
    for verb, (parser, _) in verbs.items():
        options, valued, plain = ["--help"], [], []
        for action in (action for _, actions in arguments(parser) for action in actions if action.option_strings):
            options += action.option_strings
            words = action.choices or WORDS.get(action.option_strings[0], ())
            if words:
                valued.append(f'            {"|".join(action.option_strings)}) words="{" ".join(words)}" ;;')
            elif action.nargs != 0 and action.option_strings[0] not in ("--fingerprints", "--cgroup"):
                plain += action.option_strings
        if plain:
            valued.append(f"            {'|'.join(plain)}) return ;;")
        case = f'            case "$last" in\n{chr(10).join("    " + line for line in valued)}\n            esac\n'
        cases.append(
            f'        {verb})\n            options="{" ".join(options)}"\n{case if valued else ""}            ;;\n'
        )
    return f"""# bash completion for pksm; made by ci/make_docs.py

_pksm() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" last="${{COMP_WORDS[COMP_CWORD - 1]}}" options="" words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(verbs)} --help --version" -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{"".join(cases)}    esac
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    elif [ "${{word:0:1}}" = - ]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    fi
}}

complete -o default -F _pksm pksm
"""


FILES = {"docs/pksm.1": man_page, "docs/bash-completion/pksm": completion}

if __name__ == "__main__":
    for path, make in FILES.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(make(), encoding="utf-8")
