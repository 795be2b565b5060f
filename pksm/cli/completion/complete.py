"""What can stand at the end of a command line, made of the parsers of the verbs and the placeholders of their values."""

import argparse
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pksm.cli import commands, options
from pksm.cli.completion import values
from pksm.plain import plain

ABOUT = 70  # characters of what a word is, at most
_END = "\0"  # stands where the cursor is, so that what stands before it is a word even if there is nothing


@dataclass
class Answer:
    """What a shell can offer.

    Attributes:
        words: in place of the last word, with what each is.
        files: paths as well.
        command: names of programs as well.
        more: a word is not at its end, so no blank follows it.
    """

    words: list[tuple[str, str]] = field(default_factory=list)
    files: bool = False
    command: bool = False
    more: bool = False

    def text(self) -> str:
        """Return it as the scripts read it: a line of flags, then a line for each word, with a tab before what it is.

        What has control characters in it is left out, or is escaped in what a word is: names of processes and of
        control groups are whatever their owners like.
        """
        flags = " ".join(name for name in ("files", "command", "more") if getattr(self, name))
        lines = [f"{word}\t{_short(about)}" for word, about in self.words if word.isprintable()]
        return "".join(f"{line}\n" for line in (flags, *lines))


def complete(line: str) -> Answer:
    """Return what can stand at the end of a line of shell, "pksm scan --pi", which may end in mid-word or mid-quote."""
    given = _split(line)
    if len(given) < 2:
        return Answer()
    *words, last = given[1:]
    found, module, rest = commands.find(words)
    if module is None or commands.is_group(module):
        return _verbs(module, last) if not rest else Answer()
    if "--" in rest:
        at_command = getattr(module, "TAKES_COMMAND", False)
        return Answer(command=at_command and rest[-1] == "--", files=at_command)
    return _of_verb(commands.parser(" ".join(found), module), rest, last)


def _split(line: str) -> list[str]:
    for closing in ("", '"', "'"):
        try:
            return [word.replace(_END, "") for word in shlex.split(line + _END + closing)]
        except ValueError:
            continue
    return []


def _short(text: str) -> str:
    text = plain(" ".join(text.split(" ")))
    return text if len(text) <= ABOUT else text[: ABOUT - 1] + "…"


def _starting(entries: values.Values, last: str, prefix: str = "") -> list[tuple[str, str]]:
    return [(prefix + word, about) for word, about in entries if (prefix + word).startswith(last)]


def _verbs(group: Any, last: str) -> Answer:
    verbs = group.VERBS if group else commands.VERBS
    entries = [(word, verb.HELP) for word, verb in verbs.items()]
    entries.append(("--help", "print help"))
    if group is None:
        entries.append(("--version", "print the version"))
    return Answer(_starting(entries, last))


def _of_verb(parser: argparse.ArgumentParser, words: list[str], last: str) -> Answer:
    """Return what can stand behind `words` of a verb."""
    by_name = {name: action for action in parser._actions for name in action.option_strings}
    positionals = [action for action in parser._actions if not action.option_strings]
    pending: argparse.Action | None = None
    taken: list[argparse.Action] = []
    texts: dict[str, list[str]] = {}
    for word in words:
        if pending is not None:
            texts.setdefault(pending.dest, []).append(word)
            pending = None
            continue
        name, equals, value = word.partition("=")
        action = by_name.get(name)
        if action is None:
            taken += positionals[:1]
            if positionals and positionals[0].nargs not in ("*", "+"):
                del positionals[0]
            continue
        taken.append(action)
        if equals:
            texts.setdefault(action.dest, []).append(value)
        elif action.nargs != 0:
            pending = action
    if pending is not None:
        return _values(pending, last, texts)
    name, equals, value = last.partition("=")
    if equals and name in by_name:
        answer = _values(by_name[name], value, texts)
        answer.words = [(f"{name}={word}", about) for word, about in answer.words]
        return answer
    if last.startswith("-") or not positionals:
        return Answer(_starting(_options(parser, taken), last))
    return _values(positionals[0], last, texts)


def _options(parser: argparse.ArgumentParser, taken: list[argparse.Action]) -> Iterator[tuple[str, str]]:
    """Yield the options that can still be given: those that may be repeated, and those that nothing given excludes."""
    gone = {action for action in taken if not isinstance(action, (argparse._AppendAction, argparse._ExtendAction))}
    for group in parser._mutually_exclusive_groups:
        if gone & set(group._group_actions):
            gone |= set(group._group_actions)
    for action in parser._actions:
        if action.option_strings and action not in gone and action.help is not argparse.SUPPRESS:
            yield action.option_strings[-1], options.help_of(action)


def _values(action: argparse.Action, last: str, texts: dict[str, list[str]]) -> Answer:
    """Return what one option or argument can be. texts: what options were given, by name."""
    prefix = last[: last.rfind(",") + 1] if action.type in options.LISTS else ""
    placeholders = options.placeholder(action).split("|")
    answer = Answer(files=any(map(values.is_file, placeholders)))
    if action.choices:
        answer.words = _starting(((str(choice), "") for choice in action.choices), last, prefix)
        return answer
    for placeholder in placeholders:
        answer.words += _starting(_known(placeholder, last, texts), last, prefix)
    answer.more = bool(answer.words) and all(word.endswith(("=", "/")) for word, _ in answer.words)
    return answer


def _known(placeholder: str, last: str, texts: dict[str, list[str]]) -> Iterable[tuple[str, str]]:
    if placeholder == "CGROUP":
        return values.cgroups(last)
    if placeholder in ("[POLICY.]NAME=VALUE", "[POLICY.]NAME=VALUES"):
        start, equals, _ = last.partition("=")
        chosen = [name for text in texts.get("policy", []) for name in text.split(",")]
        if not equals:
            return values.settings(chosen)
        return values.words_of_setting(start + equals) if placeholder.endswith("=VALUE") else ()
    known = values.BY_PLACEHOLDER.get(placeholder)
    return known() if known else ()
