"""Every verb, from what its parser knows."""

import argparse
import itertools
from typing import Any

from pksm.cli import exit_codes
from pksm.cli.main import COMMANDS
from pksm.simulation.workloads import WORKLOADS
from pksm_reference import markdown


def parsers() -> dict[str, tuple[argparse.ArgumentParser, Any]]:
    """Return {verb: (parser, module)} of the verbs that the command line shows."""
    made = {}
    for verb, module in COMMANDS.items():
        if module.HELP:
            parser = argparse.ArgumentParser(f"pksm {verb}", usage=module.USAGE, description=module.DESCRIPTION)
            module.add_arguments(parser)
            made[verb] = parser, module
    return made


def page() -> str:
    """Return a table of the verbs, a section for each of them, and the exit codes."""
    made = parsers()
    verbs = markdown.table(
        ("verb", "what it does"),
        [(f"[`pksm {verb}`](#pksm-{verb})", markdown.text(module.HELP)) for verb, (_, module) in made.items()],
    )
    sections = [_verb(verb, parser, module) for verb, (parser, module) in made.items()]
    return markdown.join(verbs, *sections, "## Exit codes", _exit_codes())


def _verb(verb: str, parser: argparse.ArgumentParser, module: Any) -> str:
    about, _, rest = module.DESCRIPTION.partition("\n")
    parts = [f"(pksm-{verb})=\n## pksm {verb}", markdown.block(module.USAGE), markdown.text(about)]
    for paragraph in rest.strip("\n").split("\n\n"):
        preformatted = any(line.startswith("  ") for line in paragraph.splitlines())
        parts.append(_preformatted(paragraph) if preformatted else markdown.text(paragraph))
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            title = (group.title or "").removesuffix(":")
            parts += [f"### {title[0].upper()}{title[1:]}", "\n\n".join(map(_argument, actions))]
    return markdown.join(*parts)


def _preformatted(paragraph: str) -> str:
    """Return a list of names or of examples: those that are lists elsewhere in the site are only named."""
    head, _, lines = paragraph.partition("\n")
    if head == "workloads:" and "fork-family" in lines:
        return "The workloads by name are listed in [Workloads](workloads.md)."
    return markdown.join(f"{head[0].upper()}{head[1:]}", markdown.block(lines))


def _argument(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    shown = value if isinstance(value, str) else " ".join(value)
    names = [name if action.nargs == 0 else f"{name} {shown}" for name in action.option_strings] or [shown]
    text = (action.help or "") % {"default": action.default, "prog": "pksm"}
    choices = f" One of {', '.join(map(markdown.code, map(str, action.choices)))}." if action.choices else ""
    text = markdown.text(text[:1].upper() + text[1:])
    stop = "" if text.endswith(".") or not text else "."
    return f"{', '.join(map(markdown.code, names))}\n: {text}{stop}{choices}"


def _exit_codes() -> str:
    return markdown.text(exit_codes.ABOUT[:1].upper() + exit_codes.ABOUT[1:] + ".")


def workloads() -> str:
    """Return a table of the workloads by name, those recorded in kernels apart."""
    parts = []
    rows = ((name, text, text.startswith("Recorded in kernels: ")) for name, text in WORKLOADS.items())
    for recorded, group in itertools.groupby(rows, lambda row: row[2]):
        title = "## Recorded in booted kernels" if recorded else "## Made from a seed"
        cells = [
            (markdown.code(name), markdown.text(text.removeprefix("Recorded in kernels: "))) for name, text, _ in group
        ]
        parts += [title, markdown.table(("workload", "its memory"), cells)]
    return markdown.join(*parts)
