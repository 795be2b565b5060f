"""The completion scripts of the shells. They ask `pksm completion --line`, so they know of no verb and no option."""

from pathlib import Path

# As each shell wants them named where it looks for them.
FILES = {"bash": "pksm.bash", "zsh": "_pksm", "fish": "pksm.fish"}


def script(shell: str) -> str:
    """Return the script of a shell."""
    return Path(__file__).with_name(FILES[shell]).read_text(encoding="utf-8")
