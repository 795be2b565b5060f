"""pksm completion: the script for a shell, and what the scripts ask."""

import argparse

from pksm.cli import output
from pksm.cli.completion.scripts import FILES, script
from pksm.cli.completion.values import KINDS
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "print the completion script of a shell"
USAGE = """pksm completion bash|zsh|fish
       pksm completion --values KIND
       pksm completion --line TEXT"""
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The scripts ask the pksm that is typed what can stand next, so they work in virtual environments and know fresh verbs,
policies of other packages and the processes that run.

examples:
  source <(pksm completion bash)        in ~/.bashrc
  source <(pksm completion zsh)         in ~/.zshrc, behind compinit
  pksm completion fish | source         in ~/.config/fish/config.fish
  pksm completion --values setting      all settings, one per line"""
IS_LIGHT = True
SHELLS = tuple(FILES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to print")
    what.add_argument("shell", nargs="?", choices=SHELLS, metavar="SHELL", help=f"the script: {', '.join(SHELLS)}")
    what.add_argument("--values", choices=KINDS, metavar="KIND", help=f"names of a kind: {', '.join(KINDS)}")
    what.add_argument("--line", metavar="TEXT",
                      help="what can stand at the end of a command line: a line of flags (files, command, more), "
                      "then words, each with a tab and what it is; this is what the scripts ask")  # fmt: skip


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Print the script, the names or the words; return the exit code."""
    if sum(one is not None for one in (given.shell, given.values, given.line)) != 1:
        raise UsageError("say what to print, for example: pksm completion bash")
    if given.shell:
        output.write(script(given.shell))
    elif given.values:
        output.write("".join(f"{name}\n" for name, _ in KINDS[given.values]()))
    else:
        from pksm.cli.completion.complete import complete

        output.write(complete(given.line).text())
    return 0
