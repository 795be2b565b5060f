"""Where words go and how: terminals, colours, widths, progress."""

import io
import sys

import pytest

from pksm.cli import output
from pksm.errors import PksmError

from support.cli_runs import command, on_terminal
from support.memory_sources import write_file

SIZE = 4096


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self):
        return True


def fake_terminal(monkeypatch):
    """Put a terminal in place of stdout and stderr, and return what it shows."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def test_progress_line():
    line = output.progress_line
    assert line("read", 120_000, None, 0.1) == "reading: 120,000 pages, 1.20 M pages/s"
    assert line("merge", 250_000, 1_000_000, 0.5) == "merging: 25 % of 1,000,000 pages, 500.0 k pages/s, 2 s left"
    assert line("exact", 0, 10, 1.0) == "merging, exactly: 0 % of 10 pages"
    assert line("merge", 0, 0, 1.0) == "merging: 0 % of 0 pages"


def test_progress_is_drawn_on_terminals_and_taken_away(monkeypatch):
    terminal = fake_terminal(monkeypatch)
    progress = output.Progress()
    for pages in range(3):
        progress("merge", pages, 3)
    drawn = terminal.getvalue()
    assert drawn.startswith("\r\033[Kmerging: ") and "of 3 pages" in drawn
    output.clear_progress()
    assert terminal.getvalue().endswith("\r\033[K")
    length = len(terminal.getvalue())
    output.clear_progress()
    assert len(terminal.getvalue()) == length, "there is nothing to take away any more"


def test_progress_is_silent_elsewhere(monkeypatch):
    terminal = fake_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    progress = output.Progress()
    progress("merge", 1, 3)
    progress("merge", 2, 3)
    output.clear_progress()
    assert terminal.getvalue() == ""


def test_colours(monkeypatch):
    fake_terminal(monkeypatch)
    assert output.colour()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.colour()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not output.colour()


def test_width(monkeypatch):
    for columns, width in (("132", 132), ("5", output.MIN_WIDTH)):
        monkeypatch.setenv("COLUMNS", columns)
        assert output.width() == width


def test_what_an_encoding_lacks_is_escaped(monkeypatch):
    terminal = fake_terminal(monkeypatch)
    output.write("café \udcff\n")
    output.remark("naïve\x1b")
    assert terminal.getvalue() == "caf\\xe9 \\udcff\npksm: na\\xefve\\x1b\n"


class ShortWrites(io.RawIOBase):
    """Takes a few bytes a call, as a pipe does whose reader is slow; then none."""

    def __init__(self, room):
        self.room, self.taken = room, b""

    def writable(self):
        return True

    def write(self, octets):
        if not self.room:
            return None
        count = min(7, self.room, len(octets))
        self.room -= count
        self.taken += bytes(octets[:count])
        return count


def test_short_writes_lose_nothing(monkeypatch):
    raw = ShortWrites(1000)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "utf-8", write_through=True))
    output.write("0123456789" * 50)
    assert raw.taken == b"0123456789" * 50
    raw.room = 20
    with pytest.raises(PksmError, match="cannot write the result"):
        output.write("0123456789" * 50)


def test_a_terminal_gets_colours_and_progress(tmp_path):
    ram = write_file(tmp_path / "ram", [bytes([number]) * SIZE for number in range(64)], SIZE)
    coloured = on_terminal(command("scan", ram, "--set", "pages_to_scan=4"), NO_COLOR="")
    assert "\x1b[1m" in coloured and "\x1b[Kmerging: " in coloured
    plain = on_terminal(command("scan", ram), NO_COLOR="1", COLUMNS="70")
    table = plain[plain.rindex("\x1b[K") + 3 :] if "\x1b[K" in plain else plain
    assert "\x1b" not in table and max(map(len, table.splitlines())) <= 70
