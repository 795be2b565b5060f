"""The completion script for bash, made of what the command line knows of itself.

Words that are known beforehand stand in it; what depends on the machine, it asks `pksm completion --values`.
"""

import argparse
from typing import Any

from pksm.cli.options import COMPLETED_BY

FILES = ("--fingerprints", "--cgroup", "--plot")  # options behind which the shell completes paths
# What stands behind a verb: words, or the kind that completes it.
BEHIND = {"checksum": ("profile list sum", ""), "completion": ("bash", ""), "simulate": ("", "workload"),
          "truth": ("", "recorded")}  # fmt: skip
SCRIPT = r"""# bash completion for pksm; `pksm completion bash` prints it

_pksm() {
    local line="${COMP_LINE:0:COMP_POINT}" given word last options="" words="" kind="" prefix="" kept="" reply=()
    read -ra given <<<"$line"
    case "$line" in *" ") given+=("") ;; esac
    word="${given[${#given[@]} - 1]}" last="${given[${#given[@]} - 2]}"
    COMPREPLY=()
    if [ "${#given[@]}" -le 2 ]; then
        COMPREPLY=($(compgen -W "@verbs@ --help --version" -- "$word"))
        return
    fi
    case "${given[1]}" in
@cases@    esac
    if [ -n "$kind" ]; then
        words="$("${given[0]}" completion --values "$kind" 2>/dev/null)"
    fi
    if [ "${word:0:1}" = - ] && [ "$last" != "--set" ]; then
        words="$options"
    fi
    case "$word" in *,*) prefix="${word%,*}," ;; esac
    reply=($(compgen -P "$prefix" -W "$words" -- "${word#"$prefix"}"))
    # readline takes a word to begin behind these, and keeps what stands before
    case "$COMP_WORDBREAKS" in *:*) kept="${word%"${word##*[:=]}"}" ;; esac
    COMPREPLY=("${reply[@]#"$kept"}")
    case "${COMPREPLY[*]}" in *=) compopt -o nospace 2>/dev/null ;; esac
}

complete -o default -F _pksm pksm
"""


def parsers() -> dict[str, tuple[argparse.ArgumentParser, Any]]:
    """Return {verb: (parser, module)} with the arguments of each verb."""
    from pksm.cli.main import COMMANDS

    made = {}
    for verb, module in COMMANDS.items():
        parser = argparse.ArgumentParser(f"pksm {verb}", usage=module.USAGE, description=module.DESCRIPTION)
        module.add_arguments(parser)
        made[verb] = parser, module
    return made


def script() -> str:
    """Return the script."""
    verbs = parsers()
    cases = "".join(_case(verb, parser) for verb, (parser, _) in verbs.items())
    return SCRIPT.replace("@verbs@", " ".join(verbs)).replace("@cases@", cases)


def _case(verb: str, parser: argparse.ArgumentParser) -> str:
    """Return what is completed behind one verb: its options, and the values of each that has some."""
    options, valued = ["--help"], []
    free: list[str] = []
    for action in parser._actions:
        names = action.option_strings
        if not names or action.dest == "help":
            continue
        options += names
        if action.choices:
            valued.append(f'{"|".join(names)}) words="{" ".join(action.choices)}" ;;')
        elif names[-1] in COMPLETED_BY:
            valued.append(f"{'|'.join(names)}) kind={COMPLETED_BY[names[-1]]} ;;")
        elif action.nargs != 0:
            free += names
    files = [name for name in free if name in FILES]
    free = [name for name in free if name not in FILES]
    if free:
        valued.append(f"{'|'.join(free)}) return ;;")
    if files:
        valued.append(f"{'|'.join(files)}) options= ;;")
    words, kind = BEHIND.get(verb, ("", ""))
    if words:
        valued.append(f'{verb}) words="{words}" ;;')
    elif kind:
        valued.append(f"*) kind={kind} ;;")
    inner = "".join(f"                {line}\n" for line in valued)
    case = f'            case "$last" in\n{inner}            esac\n' if valued else ""
    return f'        {verb})\n            options="{" ".join(options)}"\n{case}            ;;\n'
