"""ELF cores: of processes as the kernel and gdb write them, of guests as QEMU does."""

import struct

ET_CORE, EM_X86_64 = 4, 62
PT_LOAD, PT_NOTE = 1, 4
R, W, X = 4, 2, 1
PAGE = 4096


def note(owner, kind, content):
    """One note; owner in bytes without the zero behind it."""
    name = owner + b"\0"
    padded = name.ljust(-(-len(name) // 4) * 4, b"\0")
    return struct.pack("<3I", len(name), len(content), kind) + padded + content.ljust(-(-len(content) // 4) * 4, b"\0")


def nt_file(ranges):
    """The note that lists mapped files: [(start, end, path)]."""
    rows = b"".join(struct.pack("<3Q", start, end, 0) for start, end, _ in ranges)
    paths = b"".join(path + b"\0" for *_, path in ranges)
    return note(b"CORE", 0x46494C45, struct.pack("<2Q", len(ranges), PAGE) + rows + paths)


def nt_auxv(values):
    """The auxiliary vector {type: value}."""
    pairs = [*values.items(), (0, 0)]
    return note(b"CORE", 6, b"".join(struct.pack("<2Q", *pair) for pair in pairs))


def qemu_note():
    """The note with which QEMU describes a CPU."""
    return note(b"CORE", 1, bytes(336)) + note(b"QEMU", 0, struct.pack("<2I", 1, 440) + bytes(432))


def phdr(kind, flags, offset, vaddr, paddr, filesz, memsz, align=PAGE):
    """One program header."""
    return struct.pack("<2I6Q", kind, flags, offset, vaddr, paddr, filesz, memsz, align)


def header(n_segments, section_offset=0, kind=ET_CORE):
    """The ELF header; from 65535 segments on their number is in section header 0."""
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    count, sections = (min(n_segments, 0xFFFF), 1 if n_segments >= 0xFFFF else 0)
    return ident + struct.pack(
        "<2HI3QI6H", kind, EM_X86_64, 1, 0, 64, section_offset, 0, 64, 56, count, 64 if sections else 0, sections, 0
    )


def write_core(path, segments, notes, align=PAGE, physical=False):
    """Write a core: segments are [(address, [page or None, ...], pages in memory, flags)]; None becomes a hole.

    align: bytes that the first segment's offset is a multiple of; 1 as gdb has it puts it right behind the notes.
    """
    n_segments = len(segments) + 1
    notes_at = 64 + 56 * n_segments
    at = -(-(notes_at + len(notes)) // align) * align
    headers = [phdr(PT_NOTE, 0, notes_at, 0, 0, len(notes), 0, 4)]
    with open(path, "wb") as file:
        for address, pages, n_pages, flags in segments:
            size = len(pages) * PAGE
            vaddr, paddr = (0, address) if physical else (address, 0)
            headers.append(phdr(PT_LOAD, flags, at, vaddr, paddr, size, n_pages * PAGE, align))
            for page in pages:
                if page is not None:
                    file.seek(at)
                    file.write(page)
                at += PAGE
        wide = n_segments >= 0xFFFF
        if wide:
            file.seek(at)
            file.write(struct.pack("<2I4Q2I2Q", 0, 0, 0, 0, 0, 0, 0, n_segments, 0, 0))
        file.truncate(at + 64 * wide)
        file.seek(0)
        file.write(header(n_segments, at if wide else 0) + b"".join(headers) + notes)
