"""Where words go: results to stdout, remarks and progress to stderr."""

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import PksmError
from pksm.plain import plain
from pksm.report.text import rate

REDRAW_S = 0.1
AT_ONCE = 1 << 20  # characters
MIN_WIDTH, DEFAULT_WIDTH = 60, 100  # columns; the second where there is no terminal to ask


def write(text: str) -> None:
    """Write a result to stdout, all of it. BrokenPipeError if nobody reads it, PksmError if it can't be written."""
    clear_progress()
    stream = sys.stdout
    if stream is None:
        raise PksmError("cannot write the result: stdout is closed")
    try:
        _write_all(stream, text)
    except BrokenPipeError:
        _drop_rest(stream)
        raise
    except OSError as error:
        _drop_rest(stream)
        raise PksmError(f"cannot write the result: {error.strerror}") from None


def document(document: Mapping[str, Any], given: argparse.Namespace, **more: Any) -> None:
    """Write a document in the form that was asked for: JSON, CSV, or a table; more: what such a table takes."""
    if given.json:
        _write_json(document)
        return
    from pksm import report

    if given.csv:
        write(report.csv(document))
    else:
        write(report.table(document, width(), colour(), **more))


def _write_json(document: Mapping[str, Any]) -> None:
    """Write a document as JSON, a megabyte at a time: the text of a large one takes more memory than itself."""
    from pksm.cli.json_text import pieces

    waiting: list[str] = []
    size = 0
    for piece in pieces(document):
        waiting.append(piece)
        size += len(piece)
        if size > AT_ONCE:
            write("".join(waiting))
            waiting, size = [], 0
    write("".join(waiting) + "\n")


def _write_all(stream: TextIO, text: str) -> None:
    """Write what the stream's encoding lacks as escapes, and go on where a write stops short.

    Without a buffer (PYTHONUNBUFFERED), the stream itself would drop the rest and say nothing.
    """
    encoding = stream.encoding or "utf-8"
    octets = text.encode(encoding, "backslashreplace")
    stream.flush()
    below = getattr(stream, "buffer", None)
    if below is None:
        stream.write(octets.decode(encoding))
        return
    left = memoryview(octets)
    while left:
        written = below.write(left)
        if written is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left = left[written:]
    below.flush()


def _drop_rest(stream: TextIO) -> None:
    """Send what the stream still holds to nowhere, or the interpreter would complain about it at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:
        pass  # not a file of ours


def remark(text: object) -> None:
    """Say one line on stderr, if there is anybody to hear it."""
    clear_progress()
    _say(f"pksm: {plain(str(text))}\n")


def _say(text: str) -> None:
    stream = sys.stderr
    if stream is None:
        return
    try:
        _write_all(stream, text)
    except OSError:
        pass  # nobody to hear it


def width() -> int:
    """Columns to fill: COLUMNS, or the terminal's."""
    return max(MIN_WIDTH, _columns())


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    with suppress(AttributeError, ValueError, OSError):  # stdout is None, closed, or no terminal
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or DEFAULT_WIDTH  # type: ignore[union-attr]
    return DEFAULT_WIDTH


def colour() -> bool:
    """Tell whether stdout shows colours and the user wants them (https://no-color.org)."""
    return _is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")


def is_terminal() -> bool:
    """Return whether stdout is a terminal on which lines can be drawn anew."""
    return _is_terminal(sys.stdout)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


class Progress:
    """A line on stderr that is redrawn while work goes on, if stderr is a terminal. Call it as scan() does.

    Whatever else is written takes the line away.
    """

    shown = False  # of all of them: there is one stderr

    def __init__(self) -> None:
        self._on = _is_terminal(sys.stderr)
        self._drawn_at = 0.0
        self._stage: str | None = None
        self._began = 0.0

    def __call__(self, stage: str, pages: int, total: int | None) -> None:
        if not self._on:
            return
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began = stage, now
        if now > self._began:
            self.show(lambda: progress_line(stage, pages, total, now - self._began))

    def show(self, line: Callable[[], str]) -> None:
        """Show what line() returns, if it is time to."""
        now = time.monotonic()
        if self._on and now - self._drawn_at >= REDRAW_S:
            self._drawn_at, Progress.shown = now, True
            _say("\r\033[K" + plain(line())[: width() - 1])


def clear_progress() -> None:
    """Take away the line of progress, if there is one."""
    if Progress.shown:
        Progress.shown = False
        _say("\r\033[K")


def progress_line(stage: str, pages: int, total: int | None, seconds: float) -> str:
    """Return what to show: how far, how fast, and how long it will take yet."""
    doing = {"read": "reading", "exact": "merging, exactly", "merge": "merging"}[stage]
    speed = pages / seconds
    if total is None:
        return f"{doing}: {pages:,} pages, {rate(speed)} pages/s"
    line = f"{doing}: {100 * pages // max(1, total)} % of {total:,} pages"
    if not pages:
        return line
    return f"{line}, {rate(speed)} pages/s, {(total - pages) / speed:.0f} s left"


def exported(export: Callable[..., int], path: str, to: str, interrupts: HeldInterrupts) -> int:
    """Let export(path, to, progress, hold) write a table, and say how many rows it has; return the exit code."""
    progress = Progress()
    n = export(path, to, lambda rows: progress.show(lambda: f"{rows:,} rows written"), interrupts.hold)
    remark(f"{to}: {n:,} rows")
    return 0
