"""Writes the man pages, made of what the command line knows of itself: `python ci/man_pages.py DIRECTORY`.

One page for pksm, one for each verb and each group of verbs. The build runs it, so that no page is old.
"""

import os
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pksm import __version__  # noqa: E402
from pksm.cli import commands, exit_codes, help, options  # noqa: E402

SOURCE_COLUMNS = 72
SEE_ALSO = "proc(5), cgroups(7), madvise(2), process_vm_readv(2)"


def filled(text):
    """Return running text for roff, in lines of source that are short."""
    lines = textwrap.wrap(text, SOURCE_COLUMNS, break_on_hyphens=False, break_long_words=False)
    return "\n".join(map(escaped, lines))


def escaped(text):
    """Return text for roff: what would be a request or a hyphen to it is neither."""
    text = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha").replace("'", "\\(aq")
    )
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.splitlines())


def bold(text):
    return f"\\fB{escaped(text)}\\fR"


def italic(text):
    return f"\\fI{escaped(text)}\\fR"


def blocks(text):
    """Yield the lines of a description's blocks: paragraphs, and tables, the title of each in front."""
    for number, block in enumerate(help.blocks(text)):
        if number:
            yield ".PP"
        if block.title:
            yield escaped(block.title)
            yield ".RS"
            yield from rows(block.rows)
            yield ".RE"
        else:
            yield filled(block.rows[0][1])


def rows(entries):
    """Yield the lines of a table: names in bold, what they are indented below."""
    for name, about in entries:
        if name:
            yield from (".TP", bold(name), filled(about) or "\\&")
        else:
            yield from (".br", filled(about))


def section(title, lines):
    """Return a section; nothing if it would be empty."""
    lines = list(lines)
    return [f".SH {title}", *lines] if lines else []


def synopsis(usage):
    for number, line in enumerate(usage.splitlines()):
        if number:
            yield ".br"
        yield escaped(line.strip())


def arguments(parser):
    """Yield the lines of all options and arguments, in their groups."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != "==SUPPRESS=="]
        if not actions:
            continue
        yield f".SS {escaped(group.title[0].upper() + group.title[1:])}"
        yield from blocks(help.text_of(group.description))
        for action in actions:
            yield from (".TP", names(action), filled(options.help_of(action)))


def names(action):
    value = italic(options.placeholder(action))
    if not action.option_strings:
        return value
    return ", ".join(map(bold, action.option_strings)) + ("" if action.nargs == 0 else f" {value}")


def date():
    """Return the day that SOURCE_DATE_EPOCH names; without it, nothing: the same pages every day."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""


def page(name, about, parser, text, verbs, see_also):
    """Return one page.

    Args:
        name: "pksm scan".
        about: what it does, as a phrase.
        parser: of its options.
        text: its description, with its examples.
        verbs: {word: phrase} of a group.
        see_also: names of other pages.
    """
    text, examples = help.split(text)
    title = name.replace(" ", "-")
    lines = [
        f'.TH {escaped(title.upper())} 1 "{date()}" "pksm {__version__}" "User Commands"',
        *section("NAME", [f"{escaped(title)} \\- {escaped(about)}"]),
        *section("SYNOPSIS", synopsis(parser.usage)),
        *section("DESCRIPTION", blocks(text)),
        *section("VERBS", rows(verbs.items())),
        *section("OPTIONS", arguments(parser)),
        *section("EXIT STATUS", rows(exit_codes.MEANINGS.items())),
        *section("EXAMPLES", rows(row for block in help.blocks(examples) for row in block.rows)),
        *section("SEE ALSO", [*(f"{bold(other)}(1)," for other in see_also), escaped(SEE_ALSO)]),
    ]
    return "\n".join(lines) + "\n"


def pages():
    """Return {name of a file: page}."""
    made = {}

    def add(name, about, parser, text, verbs, others):
        made[f"{name.replace(' ', '-')}.1"] = page(name, about, parser, text, verbs, sorted(others))

    def phrases(group):
        return {word: module.HELP for word, module in group.items()}

    top = {"pksm", *(f"pksm-{word}" for word in commands.VERBS)}
    about = help.ABOUT[0].lower() + help.ABOUT[1:].rstrip(".")
    add("pksm", about, commands.group_parser(), f"{help.MORE}\n\n{help.NOTES}", phrases(commands.VERBS), top - {"pksm"})
    for word, module in commands.VERBS.items():
        if commands.is_group(module):
            parser = commands.group_parser(word, module)
            inner = {f"pksm-{word}-{verb}" for verb in module.VERBS}
            add(f"pksm {word}", module.HELP, parser, module.DESCRIPTION, phrases(module.VERBS), {"pksm"} | inner)
    for name, module in commands.every():
        group = {f"pksm-{name.split()[0]}"} if " " in name else set()
        parser = commands.parser(name, module)
        add(f"pksm {name}", module.HELP, parser, module.DESCRIPTION, {}, {"pksm"} | group)
    return made


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
