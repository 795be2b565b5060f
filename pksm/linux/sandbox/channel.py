"""Messages between a process and its worker: a name, fields of JSON, arrays as bytes, and descriptors one way.

Nothing in them is executed, and nothing is allocated that has not arrived.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from pksm.errors import PksmError
from pksm.linux import memory_limits

_HEAD = struct.Struct("=QQ")  # bytes of the JSON text, of all arrays
_AT_ONCE = 1 << 20
_AHEAD = 1 << 16  # bytes of what comes behind a message that are received with it, or sent with it
_MOST_TEXT, _MOST_ARRAYS = 1 << 30, 1 << 40  # bytes
_UNCHECKED = 16 << 20  # bytes of a message that are received without a look at what memory there is
_PARSED = 8  # bytes that a byte of text may take when it is parsed
_MOST_DESCRIPTORS = 4


class Message(NamedTuple):
    """One message. arrays: bytes of each; descriptors: those that came with it, the receiver's to close."""

    name: str
    fields: dict[str, Any]
    arrays: list[memoryview]
    descriptors: list[int]


class Garbled(PksmError):
    """What has arrived is not a message of ours."""


class Closed(PksmError):
    """The other end is closed."""


class Channel:
    """One end of a pair of connected sockets.

    Args:
        end: the socket.
        takes_descriptors: whether descriptors that the other end sends are received. They are dropped otherwise.
    """

    def __init__(self, end: socket.socket, takes_descriptors: bool) -> None:
        self._socket, self._takes = end, takes_descriptors
        self._descriptors: list[int] = []
        self._ahead = bytearray()
        self._waiting = bytearray()

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def send(
        self,
        name: str,
        fields: dict[str, Any],
        arrays: Sequence[bytes] = (),
        descriptors: Sequence[int] = (),
        more: bool = False,
    ) -> None:
        """Send a message; returns when all of it is on its way.

        Args:
            name, fields, arrays, descriptors: of the message.
            more: it can wait until the next one goes, or for good: both may go together.

        Raises:
            Closed: the other end is closed.
            TypeError, ValueError: the fields are not for JSON.
        """
        sizes = [len(array) for array in arrays]
        text = json.dumps([name, fields, sizes, len(descriptors)]).encode()
        parts = [_HEAD.pack(len(text), sum(sizes)), text]
        if sum(sizes) < _AHEAD:
            parts, arrays = [*parts, *arrays], ()
        if more and not arrays and not descriptors:
            self._waiting += b"".join(parts)
            return
        data = b"".join((self._waiting, *parts))
        self._waiting.clear()
        try:
            if descriptors:
                data = data[socket.send_fds(self._socket, [data], list(descriptors), socket.MSG_NOSIGNAL) :]
            self._send(data)
            for array in arrays:
                self._send(array)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed("the other end of the channel is closed") from None

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data, socket.MSG_NOSIGNAL)

    def receive(self) -> Message:
        """Wait for a message.

        Raises:
            Closed: the other end is closed.
            Garbled: that was not a message.
            ShortageError: there is not so much memory.
        """
        text_bytes, array_bytes = _HEAD.unpack(self._receive(_HEAD.size))
        if text_bytes > _MOST_TEXT or array_bytes > _MOST_ARRAYS:
            raise Garbled("a message longer than any")
        if text_bytes + array_bytes > _UNCHECKED:
            memory_limits.require(_PARSED * text_bytes + array_bytes)
        try:
            name, fields, sizes, n_descriptors = json.loads(self._receive(text_bytes))
        except (ValueError, TypeError, RecursionError):
            raise Garbled("a message of the wrong form") from None
        if not (isinstance(name, str) and isinstance(fields, dict) and isinstance(sizes, list)):
            raise Garbled("a message of the wrong form")
        if not all(type(size) is int and size >= 0 for size in (*sizes, n_descriptors)) or sum(sizes) != array_bytes:
            raise Garbled("arrays of the wrong sizes")
        data, arrays = memoryview(self._receive(array_bytes)), []
        for size in sizes:
            arrays.append(data[:size])
            data = data[size:]
        descriptors, self._descriptors = self._descriptors[:n_descriptors], self._descriptors[n_descriptors:]
        return Message(name, fields, arrays, descriptors)

    def _receive(self, size: int) -> bytearray:
        data = self._ahead
        while len(data) < size:
            wanted = min(size - len(data), _AT_ONCE) if size > _AHEAD else _AHEAD
            try:
                if self._takes:
                    part, descriptors, _, _ = socket.recv_fds(self._socket, wanted, _MOST_DESCRIPTORS)
                    self._descriptors += descriptors
                else:
                    part = self._socket.recv(wanted)
            except ConnectionResetError:  # it has died with something unread
                part = b""
            if not part:
                raise Closed("the other end of the channel is closed")
            data += part
        if len(data) == size:
            self._ahead = bytearray()
            return data
        self._ahead = data[size:]
        return data[:size]
