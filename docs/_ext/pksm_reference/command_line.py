"""Every verb, from what its parser and its description know."""

import argparse
import itertools
from typing import Any

from pksm.cli import commands, exit_codes, help, options
from pksm.simulation.workloads import WORKLOADS
from pksm_reference import markdown

LISTED_ELSEWHERE = {"workloads:": "[Workloads](workloads.md)", "loads:": "[Workloads](workloads.md)"}


def page() -> str:
    """Return a table of the verbs, a section for each of them, and the exit codes."""
    verbs = dict(commands.every())
    index = markdown.table(
        ("verb", "what it does"),
        [(f"[`pksm {name}`](#{anchor(name)})", markdown.text(verb.HELP)) for name, verb in verbs.items()],
    )
    sections = [_verb(name, verb) for name, verb in verbs.items()]
    codes = markdown.table(
        ("code", "meaning"), [(markdown.text(code), markdown.text(text)) for code, text in exit_codes.MEANINGS.items()]
    )
    return markdown.join(index, *sections, "## Exit codes", codes)


def anchor(verb: str) -> str:
    """Return the anchor of a verb's section."""
    return f"pksm-{verb.replace(' ', '-')}"


def _verb(name: str, verb: Any) -> str:
    text, examples = help.split(verb.DESCRIPTION)
    parser = commands.parser(name, verb)
    parts = [f"({anchor(name)})=\n## pksm {name}", markdown.block(parser.usage or ""), _blocks(text)]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            title = (group.title or "").removesuffix(":")
            parts += [f"### {title[0].upper()}{title[1:]}", *map(_argument, actions)]
    return markdown.join(*parts, _blocks(examples))


def _blocks(text: str) -> str:
    """Return the blocks of a description: paragraphs, and lists of names; examples are shown as they are typed."""
    parts = []
    for block in help.blocks(text):
        if not block.title:
            parts.append(markdown.text(block.rows[0][1]))
        elif block.title in LISTED_ELSEWHERE:
            parts.append(f"{LISTED_ELSEWHERE[block.title]} lists the names.")
        else:
            shown = markdown.code if block.title in help.EXAMPLES else markdown.text
            title = block.title[0].upper() + block.title[1:]
            parts.append(
                "\n".join([title, "", *(f"* {shown(name)}: {markdown.text(text)}" for name, text in block.rows)])
            )
    return markdown.join(*parts)


def _argument(action: argparse.Action) -> str:
    value = options.placeholder(action)
    names = [name if action.nargs == 0 else f"{name} {value}" for name in action.option_strings] or [value]
    text = markdown.text(options.help_of(action))
    return f"{', '.join(map(markdown.code, names))}\n: {text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def workloads() -> str:
    """Return a table of the workloads by name, those recorded in kernels apart."""
    parts = []
    rows = ((name, text, text.startswith("Recorded in kernels: ")) for name, text in WORKLOADS.items())
    for recorded, group in itertools.groupby(rows, lambda row: row[2]):
        title = "## Recorded in booted kernels" if recorded else "## Made from a seed"
        words = [(name, text.removeprefix("Recorded in kernels: ")) for name, text, _ in group]
        cells = [(markdown.code(name), markdown.text(text)) for name, text in words]
        parts += [title, markdown.table(("workload", "its memory"), cells)]
    return markdown.join(*parts)
