"""What a command line says of a guest."""

import pytest

from pksm.linux.proc.guests import Guest, command_line, guest_of

QEMU = "/usr/bin/qemu-system-x86_64"


@pytest.mark.parametrize(
    ("line", "guest"),
    [
        (f"{QEMU} -name web -m 4G", Guest("web")),
        (f"{QEMU} -name guest=db,debug-threads=on -m 4G", Guest("db")),
        (f"{QEMU} -m 4G", Guest("")),
        (f"{QEMU} -object memory-backend-ram,id=m,size=4G,merge=off", Guest("", merges=False)),
        (f"{QEMU} -machine q35,mem-merge=off", Guest("", merges=False)),
        (f"{QEMU} -object memory-backend-memfd,id=m,size=4G", Guest("", "memory-backend-memfd", shared=True)),
        (f"{QEMU} -object memory-backend-memfd,id=m,share=off", Guest("", "memory-backend-memfd")),
        (
            f"{QEMU} -object memory-backend-file,id=m,share=on,mem-path=/dev/hugepages",
            Guest("", "memory-backend-file", shared=True, huge=True),
        ),
        (f"{QEMU} -mem-path /dev/hugepages", Guest("", "memory-backend-file", huge=True)),
        (f"{QEMU} -name guest=a,,b", Guest("a,b")),
        ("python3 qemu", None),
        ("", None),
    ],
)
def test_guests(line, guest):
    assert guest_of(line.split()) == guest


def test_our_own_command_line_is_no_guest():
    import os

    words = command_line(os.getpid())
    assert words and guest_of(words) is None
    assert command_line(1 << 30) == []
