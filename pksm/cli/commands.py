"""The verbs by name, and the parser of each.

A verb is a module with HELP (a phrase), USAGE, DESCRIPTION (see pksm.cli.help), add_arguments(parser) and
run(given, interrupts). A group of verbs is a module with HELP, DESCRIPTION and VERBS. A verb with TAKES_COMMAND gets
the words behind -- as given.command; one that IS_LIGHT runs without numpy.
"""

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from pksm import __version__
from pksm.cli import exit_codes, help, output
from pksm.errors import UsageError
from pksm.naming import nearest

UNKNOWN = "unrecognized arguments: "  # how argparse begins


class Verbs(Mapping[str, Any]):
    """The modules of verbs by name, each loaded when it is asked for.

    Args:
        room: the package in which the verbs are.
        names: of the verbs, each a module there.
        groups: those that are packages with verbs of their own, and a module `group`.
    """

    def __init__(self, room: str, *names: str, groups: Sequence[str] = ()) -> None:
        self._paths = {
            name: f"{room}.{name.replace('-', '_')}" + (".group" if name in groups else "") for name in names
        }

    def __getitem__(self, name: str) -> Any:
        return importlib.import_module(self._paths[name])

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


VERBS: Mapping[str, Any] = Verbs(
    "pksm.cli.verbs",
    "scan",
    "fingerprint",
    "advise",
    "bench",
    "record",
    "watch",
    "run",
    "opt-in",
    "opt-out",
    "apply",
    "restore",
    "simulate",
    "sweep",
    "compare",
    "fleet",
    "truth",
    "validate",
    "checksum",
    "report",
    "features",
    "demo",
    "amalgamate",
    "config",
    "completion",
    groups=("checksum",),
)


def is_group(module: Any) -> bool:
    """Return whether a module is a group of verbs."""
    return hasattr(module, "VERBS")


def find(words: Sequence[str]) -> tuple[list[str], Any, list[str]]:
    """Return the words that name a verb, its module, and the words behind.

    The module is a group, and without any words None, if they name no verb.
    """
    module: Any = None
    verbs, depth = VERBS, 0
    while depth < len(words) and words[depth] in verbs:
        module = verbs[words[depth]]
        verbs = getattr(module, "VERBS", {})
        depth += 1
    return list(words[:depth]), module, list(words[depth:])


def every() -> Iterator[tuple[str, Any]]:
    """Yield the name and the module of every verb; "checksum sum" of one in a group."""
    for word, module in VERBS.items():
        if is_group(module):
            yield from ((f"{word} {inner}", verb) for inner, verb in module.VERBS.items())
        else:
            yield word, module


def parser(name: str, module: Any) -> "Parser":
    """Return the parser of a verb: its name, such as "checksum sum", and its module."""
    made = Parser(f"pksm {name}", module.USAGE, module.DESCRIPTION)
    made.needs_command = getattr(module, "NEEDS_COMMAND", False)
    module.add_arguments(made)
    made.options_last()
    return made


def group_parser(name: str = "", module: Any = None) -> "Parser":
    """Return the parser of a group of verbs, by default of pksm itself: it prints help."""
    verbs = "\n".join(f"  {word:<10}  {verb.HELP}" for word, verb in (module.VERBS if module else VERBS).items())
    prog = f"pksm {name}".rstrip()
    about = module.DESCRIPTION if module else f"{help.ABOUT}\n\n{help.MORE}"
    text, examples = help.split(about)
    made = Parser(prog, f"{prog} VERB [OPTION...]", f"{text}\n\nverbs:\n{verbs}\n\n{examples}")
    if module is None:
        see = "See pksm VERB --help for the options of a verb."
        made.epilog = "\n\n".join((help.NOTES, exit_codes.ABOUT, examples, see))
        made.add_argument("--version", action="version", version=f"pksm {__version__}", help="print the version")
    made.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    return made


class Parser(argparse.ArgumentParser):
    """Errors are one line of ours, examples come last, and all text goes where all output goes."""

    needs_command = False  # behind --, and takes no other words

    def __init__(self, prog: str, usage: str, about: str) -> None:
        text, examples = help.split(about)
        super().__init__(
            prog=prog,
            usage=usage,
            description=text,
            epilog=examples,
            add_help=False,
            allow_abbrev=False,
            formatter_class=help.Formatter,
        )
        self.add_argument("-h", "--help", action="help", help="print this help")

    def options_last(self) -> None:
        """Put the options of every verb behind those of this one."""
        self._actions.append(self._actions.pop(0))
        groups = self._action_groups
        groups.append(groups.pop(groups.index(self._optionals)))
        self._optionals.title = "other options"

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')}{self._meant(message)} (see {self.prog} --help)")

    def _meant(self, message: str) -> str:
        """Ask whether another option was meant by the first one that is not known."""
        mistyped = message.removeprefix(UNKNOWN)
        if mistyped == message or not mistyped.startswith("--"):
            return (
                f": write the command last, behind --: {self.usage}"
                if self.needs_command and mistyped != message
                else ""
            )
        options = [name[2:] for name in self._option_string_actions if name.startswith("--") and name != "--help"]
        near = nearest(mistyped.split()[0].partition("=")[0][2:], options)
        return f": did you mean --{near[0]}?" if near else ""

    def _print_message(self, message: str, file: Any = None) -> None:
        output.write(message)
