"""Guests: what the command line of a virtual machine's process says of its name and its memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from pksm.linux import text

RAM, MEMFD, FILE = "memory-backend-ram", "memory-backend-memfd", "memory-backend-file"


@dataclass(frozen=True)
class Guest:
    """A QEMU guest.

    Attributes:
        name: from -name, or "" for none.
        backend: of its memory, a type of QEMU's objects; RAM where none is named, as -m alone makes it.
        shared: its memory is mapped shared, so that no kernel merges it.
        huge: it lies in huge pages of hugetlbfs.
        merges: QEMU lets KSM merge it (mem-merge, merge).
    """

    name: str
    backend: str = RAM
    shared: bool = False
    huge: bool = False
    merges: bool = True


def command_line(pid: int) -> list[str]:
    """Return the words of a process's command line; none where it cannot be read."""
    data = text.read_if_any(f"/proc/{pid}/cmdline") or b""
    return [text.decoded(word) for word in data.rstrip(b"\0").split(b"\0")] if data else []


def guest_of(words: Sequence[str]) -> Guest | None:
    """Return the guest that a command line starts; None if it is not QEMU's."""
    if not words or "qemu" not in words[0].rpartition("/")[2]:
        return None
    name, legacy = "", ""
    backends: list[dict[str, str]] = []
    machine: dict[str, str] = {}
    for word, value in zip(words, [*words[1:], ""], strict=True):
        option = word.lstrip("-") if word.startswith("-") else ""
        if option == "name":
            fields = _fields(value)
            name = fields.get("guest", fields.get("", ""))
        elif option == "object" and value.startswith("memory-backend-"):
            backends.append(_fields(value))
        elif option in ("machine", "M"):
            machine |= _fields(value)
        elif option == "mem-path":
            legacy = value
    merges = machine.get("mem-merge", "on") != "off"
    if backends:
        return _of_backends(name, backends, merges)
    return Guest(name, FILE, huge="huge" in legacy, merges=merges) if legacy else Guest(name, merges=merges)


def _of_backends(name: str, backends: Sequence[dict[str, str]], merges: bool) -> Guest:
    kinds = {backend[""] for backend in backends}
    kind = next((kind for kind in (FILE, MEMFD) if kind in kinds), RAM)
    shared = any(backend.get("share", "on" if backend[""] == MEMFD else "off") == "on" for backend in backends)
    huge = any(backend.get("hugetlb", "off") == "on" or "huge" in backend.get("mem-path", "") for backend in backends)
    return Guest(name, kind, shared, huge, merges and all(one.get("merge", "on") != "off" for one in backends))


def _fields(value: str) -> dict[str, str]:
    """Return the fields of "first,name=value,..."; the first, without a name, is that of ""."""
    fields = {}
    for number, part in enumerate(value.replace(",,", "\0").split(",")):
        key, equals, content = part.replace("\0", ",").partition("=")
        if equals:
            fields[key] = content
        elif number == 0:
            fields[""] = key
    return fields
