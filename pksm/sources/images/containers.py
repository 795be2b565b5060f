"""Files that hold memory, but not as it lies in memory: what they are, and how to get at it.

Read as raw memory they would give a wrong answer without a word. Their magics are public; a reader of another package
that knows such a file comes before this table.
"""

import re
from dataclasses import dataclass

from pksm.errors import PksmError
from pksm.sources.files import OpenFile

_UNPACK = "unpack it first"
_DISK = "a disk image holds no memory: give the memory of the machine, such as its RAM file or a dump"
_QEMU = "dump the running guest with QEMU's dump-guest-memory, or virsh dump with memory-only"
_WINDOWS = "convert it to raw memory, for example with volatility's layerwriter"
_VIRTUALBOX = "dump the running machine with VBoxManage debugvm NAME dumpvmcore"


@dataclass(frozen=True)
class Container:
    """One kind of file.

    Attributes:
        magic: what its first bytes match (bytes regular expression, from the start).
        name: what it is called.
        remedy: what to do instead, a clause.
        as_it_lies: whether its pages lie in it as they lay in memory, so that reading it as raw memory is off by its
            headers only.
    """

    magic: bytes
    name: str
    remedy: str
    as_it_lies: bool = False


CONTAINERS = (
    # compressed
    Container(rb"\x1f\x8b\x08", "compressed with gzip", _UNPACK),
    Container(rb"\x1f[\x9d\xa0]", "compressed with compress", _UNPACK),
    Container(rb"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    Container(rb"BZh[1-9]1AY&SY", "compressed with bzip2", _UNPACK),
    Container(rb"[\x22-\x28]\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    Container(rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", "compressed with lz4", _UNPACK),
    Container(rb"\x89LZO\0\r\n\x1a\n", "compressed with lzop", _UNPACK),
    Container(rb"LZIP[\x00\x01]", "compressed with lzip", _UNPACK),
    Container(rb"\xff\x06\0\0sNaPpY", "compressed with snappy", _UNPACK),
    Container(rb"PK\x03\x04", "a zip archive", _UNPACK),
    Container(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    Container(rb"Rar!\x1a\x07", "a rar archive", _UNPACK),
    Container(rb".{257}ustar[\0 ]", "a tar archive", _UNPACK),
    # saved states of virtual machines
    Container(rb"QEVM", "a saved state of QEMU (savevm, migrate)", _QEMU),
    Container(rb"LibvirtQemud(Save|Part)", "a saved state of virsh (save, managedsave, snapshot)", _QEMU),
    Container(rb"LibxlFmt|LinuxGuestRecord", "a saved state of Xen", "dump the running guest with xl dump-core"),
    Container(rb"\x7fVirtualBox SavedState", "a saved state of VirtualBox", _VIRTUALBOX),
    Container(
        rb"[\xd0-\xd3]\xbe\xd2\xbe",
        "a state of VMware (vmss, vmsn)",
        "give the .vmem file beside it, or convert it with vmss2core",
    ),
    # disk images
    Container(rb"QFI\xfb", "a qcow2 image", _DISK),
    Container(rb"KDMV|COWD|# Disk DescriptorFile", "a VMDK image", _DISK),
    Container(rb"vhdxfile|conectix", "a VHD image", _DISK),
    Container(rb"<<< .{60}\x7f\x10\xda\xbe", "a VDI image", _DISK),
    # dumps of other systems, and of forensic tools
    Container(
        rb"PAGEDU(64|MP)",
        "a crash dump of Windows",
        "its pages are read as they lie behind its header, those of a bitmap dump only in part",
        True,
    ),
    Container(rb"MDMP", "a minidump of Windows", "dump the whole memory of the process, or read it alive"),
    Container(rb"(?i:hibr|wake|rstr)", "a hibernation file of Windows, compressed", _WINDOWS),
    Container(
        rb".{4086}(S1SUSPEND|LINHIB0001)", "a hibernation image of Linux, compressed", "resume it and scan alive"
    ),
    Container(
        rb"\xcf\xfa\xed\xfe|\xfe\xed\xfa\xcf",
        "a Mach-O core",
        "its pages are read as they lie in the file, its headers with them",
        True,
    ),
    Container(rb"\xed\x23\x8f\x61\x73\x01\x19\xa8", "a dump of LKCD, compressed", "convert it with the tool crash"),
    Container(rb"[EL]VF\x09\x0d\x0a\xff\0", "an EnCase image (EWF)", "export it as raw memory with ewfexport"),
)
_PATTERNS = tuple((re.compile(container.magic, re.DOTALL), container) for container in CONTAINERS)


def known(file: OpenFile) -> Container | None:
    """Return what kind of container a file is, None if none of those known."""
    return next((container for pattern, container in _PATTERNS if pattern.match(file.head)), None)


def check(file: OpenFile) -> list[str]:
    """Return a line about a file whose pages lie in a container as they are; none for one that is not a container.

    Raises PksmError for a container that would give a wrong answer.
    """
    container = known(file)
    if container is None:
        return []
    line = f"{file.path}: is {container.name}"
    if not container.as_it_lies:
        raise PksmError(f"{line}, which can't be read as memory: {container.remedy}")
    return [f"{line}, read as raw memory: {container.remedy}"]
