"""Help: fits the terminal, has examples that are command lines, and is alike in all verbs."""

import re
import shlex

import pytest

from pksm.cli import commands, help, options

from support.cli_runs import run

EVERY = dict(commands.every())
GROUPS = ["", *(word for word, module in commands.VERBS.items() if commands.is_group(module))]


@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize("name", [*GROUPS, *EVERY])
def test_help_fits_the_terminal(capfd, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    done = run(capfd, *name.split(), "--help")
    assert (done.code, done.err) == (0, "")
    long = [line for line in done.out.splitlines() if len(line) > columns]
    assert [line for line in long if not line.startswith("  pksm ")] == [], "but for examples, to be copied whole"


def examples(module_text):
    return [command for block in help.blocks(help.split(module_text)[1]) for command, _ in block.rows]


def words_of(command):
    """The words behind pksm in an example: of its first command that is one, without what a shell would fill in."""
    words = shlex.split(re.sub(r"\$\(pidof [a-z0-9_-]+\)", "1", command).replace("<(", " "), comments=True)
    return [word.rstrip(")") for word in words[words.index("pksm") + 1 :] if word != "|"]


@pytest.mark.parametrize("name", EVERY)
def test_examples_are_command_lines_of_the_verb(name):
    module = EVERY[name]
    found = examples(module.DESCRIPTION)
    assert found, "a stranger looks for examples first"
    for command in found:
        words = words_of(command)
        if "--" in words:
            assert module.TAKES_COMMAND
            words = words[: words.index("--")]
        if words[-1] == "source":  # fish reads a script so
            words.pop()
        called, found_module, rest = commands.find(words)
        assert (" ".join(called), found_module) == (name, module), command
        commands.parser(name, module).parse_intermixed_args(rest)


@pytest.mark.parametrize("name", GROUPS)
def test_examples_of_groups_name_their_verbs(name):
    text = commands.VERBS[name].DESCRIPTION if name else help.MORE
    for command in examples(text):
        called, module, _ = commands.find(words_of(command))
        assert " ".join(called).startswith(name) and not commands.is_group(module)


@pytest.mark.parametrize("name", EVERY)
def test_options_say_what_they_do(name):
    for action in commands.parser(name, EVERY[name])._actions:
        text = options.help_of(action)
        assert text and not text.endswith("."), action.dest
        assert "%(" not in text


@pytest.mark.parametrize("name", EVERY)
def test_options_of_every_verb_come_last_and_arguments_are_in_groups(name):
    groups = [group.title for group in commands.parser(name, EVERY[name])._action_groups if group._group_actions]
    assert groups[-1] == "other options" and "positional arguments" not in groups


def test_verbs_with_json_have_csv_too_and_groups_are_alike():
    for _, module in commands.every():
        parser = commands.parser("x", module)
        options_there = {option for action in parser._actions for option in action.option_strings}
        assert ("--json" in options_there) == ("--csv" in options_there)
        if "--json" in options_there:
            (group,) = [one for one in parser._action_groups if one.title == "what to print"]
            assert {"json", "csv"} <= {action.dest for action in group._group_actions}


def test_blocks_of_a_description():
    text = "One\nparagraph.\n\nthings:\n  a    the first\n       presets: x, y\n  b\n\nexamples:\n  pksm b  does it"
    rest, examples_alone = help.split(text)
    assert examples_alone == "examples:\n  pksm b  does it"
    paragraph, things = help.blocks(rest)
    assert paragraph == help.Block("", (("", "One paragraph."),))
    assert things == help.Block("things:", (("a", "the first"), ("", "presets: x, y"), ("b", "")))
    assert help.laid_out(rest, 24) == "One paragraph.\n\nthings:\n  a  the first\n     presets: x, y\n  b"


def test_verbs_of_groups_are_found(capfd):
    assert run(capfd, "checksum").code == 2
    done = run(capfd, "checksum", "colour")
    assert (done.code, done.out) == (
        2,
        "",
    ) and "unknown verb of pksm checksum 'colour': choose from profile, list, sum" in done.err
    assert run(capfd, "checksum", "--help").out.startswith("usage: pksm checksum VERB")
