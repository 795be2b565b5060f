"""Files that hold memory, but not as it lies in memory: what they are, and how to get at it.

Read as raw memory they would give a wrong answer without a word. Their magics are public; a reader of another package
that knows such a file comes before this table.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

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
    Container(rb"[\x50-\x5f]\x2a\x4d\x18", "compressed with zstd or lz4, in frames", _UNPACK),
    Container(
        rb"\x5d\0\0([\x01\x02\x04\x08\x10\x20\x40\x80]\0|\0[\x01-\x20])(\xff{8}|.{5}\0{3})",
        "compressed with lzma",
        _UNPACK,
    ),
    Container(rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18", "compressed with lz4", _UNPACK),
    Container(rb"\x89LZO\0\r\n\x1a\n", "compressed with lzop", _UNPACK),
    Container(rb"LZIP[\x00\x01]", "compressed with lzip", _UNPACK),
    Container(rb"\xff\x06\0\0sNaPpY", "compressed with snappy", _UNPACK),
    Container(
        rb"PK\x03\x04.{26}recording\.json",
        "a recording of writes",
        "it is memory over time, to be simulated (pksm simulate, sweep or compare)",
    ),
    Container(rb"PK\x03\x04", "a zip archive", _UNPACK),
    Container(rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    Container(rb"Rar!\x1a\x07", "a rar archive", _UNPACK),
    Container(rb"MSCF\0{4}", "a cabinet archive", _UNPACK),
    Container(rb"!<arch>\n", "an ar archive", _UNPACK),
    Container(rb"0707(01|02|07)[0-9A-Fa-f]{6}", "a cpio archive", _UNPACK),
    Container(rb".{257}ustar[\0 ]", "a tar archive", _UNPACK),
    Container(rb"hsqs|sqsh", "a squashfs file system", _UNPACK),
    # encrypted
    Container(rb"LUKS\xba\xbe|Salted__|age-encryption\.org/", "encrypted", "decrypt it first"),
    # saved states of virtual machines
    Container(rb"QEVM", "a saved state of QEMU (savevm, migrate)", _QEMU),
    Container(rb"LibvirtQemud(Save|Part)", "a saved state of virsh (save, managedsave, snapshot)", _QEMU),
    Container(
        rb"LibxlFmt|LinuxGuestRecord|\xed\xeb\x0f\xf0",
        "a saved state of Xen",
        "dump the running guest with xl dump-core in its ELF format",
    ),
    Container(
        rb"\x14\x20\x28\x01",
        "a saved state of Hyper-V (vmrs)",
        "convert it to raw memory, for example with vm2dmp or volatility",
    ),
    Container(rb"\x19\x43\x56\x54", "an image of CRIU", "give the files pages-N.img, which hold the pages as they lay"),
    Container(rb"\x7fVirtualBox SavedState", "a saved state of VirtualBox", _VIRTUALBOX),
    Container(
        rb"[\xd0-\xd3]\xbe[\xd2\xd3]\xbe",
        "a state of VMware (vmss, vmsn)",
        "give the .vmem file beside it, or convert it with vmss2core",
    ),
    # disk images
    Container(rb"QFI\xfb\0{3}\x01", "a qcow image", _DISK),
    Container(rb"QFI\xfb", "a qcow2 image", _DISK),
    Container(rb"QED\0", "a QED image", _DISK),
    Container(rb"KDMV|COWD|# Disk DescriptorFile", "a VMDK image", _DISK),
    Container(rb"vhdxfile", "a VHDX image", _DISK),
    Container(rb"conectix", "a VHD image", _DISK),
    Container(rb".{64}\x7f\x10\xda\xbe", "a VDI image", _DISK),
    Container(
        rb"Bochs Virtual HD Image|WithoutFreeSpace|WithouFreSpacExt", "a disk image of Bochs or Parallels", _DISK
    ),
    Container(rb"\x3a\xff\x26\xed", "a sparse image of Android", _DISK),
    Container(rb".{512}EFI PART", "a disk image with partitions", _DISK),
    Container(
        rb"XFSB\0{2}|.{1080}\x53\xef[\0-\x07]\0[\0-\x03]\0|.{1024}\xe2\xe1\xf5\xe0",
        "a file system (XFS, ext4, EROFS)",
        _DISK,
    ),
    # dumps of other systems, and of forensic tools
    Container(
        rb"PAGEDU(64|MP)",
        "a crash dump of Windows",
        "its pages are read as they lie behind its header, those of a bitmap dump only in part",
        True,
    ),
    Container(
        rb".{4086}SWAPSPACE2",
        "a swap area",
        "its pages are those of many processes, free ones among them: read the processes alive",
        True,
    ),
    Container(
        rb"\x7fELF",
        "an ELF file and not a core",
        "it is right for a dump of mappings; for a process give its core, made with gcore",
        True,
    ),
    Container(rb"MDMP", "a minidump of Windows", "dump the whole memory of the process, or read it alive"),
    Container(rb"(?i:hibr|wake|rstr)", "a hibernation file of Windows, compressed", _WINDOWS),
    Container(
        rb".{4086}(S1SUSPEND|LINHIB0001)", "a hibernation image of Linux, compressed", "resume it and scan alive"
    ),
    Container(
        rb"[\xce\xcf]\xfa\xed\xfe|\xfe\xed\xfa[\xce\xcf]",
        "a Mach-O core",
        "its pages are read as they lie in the file, its headers with them",
        True,
    ),
    Container(
        rb"\xed\x23\x8f\x61\x73\x01\x19\xa8|\xa8\x19\x01\x73\x61\x8f\x23\xed",
        "a dump of LKCD, compressed",
        "convert it with the tool crash",
    ),
    Container(rb"\xa8\x19\x01\x73\x61\x8f\x23\xfd", "a dump of s390", "convert it with zgetdump to an ELF core"),
    Container(rb"DISKDUMP", "a dump of diskdump", "convert it with the tool crash"),
    Container(
        rb"[EL]VF(\x09\x0d\x0a\xff\0|2\x0d\x0a\x81\0)",
        "an EnCase image (EWF)",
        "export it as raw memory with ewfexport",
    ),
    Container(rb"AFF10\r\n\0|AFF\0", "an image of AFF", "export it as raw memory with affcat"),
    Container(rb"HPAK", "a dump of FDPro (HPAK)", "extract its raw memory, for example with volatility's hpakextract"),
)
_ZLIB = Container(rb"\x78[\x01\x5e\x9c\xda]", "compressed with zlib, as by LiME with compress=1", _UNPACK)
# Of a disk as it lies, only a footer shows that it is one.
FOOTER_BYTES = 512
_FOOTERS = (Container(rb"conectix", "a VHD image", _DISK), Container(rb"koly", "a DMG image", _DISK))


@cache
def _any_magic() -> re.Pattern[bytes]:
    """Return what matches the first bytes of any of CONTAINERS: for most files, this is all that is asked."""
    return re.compile(b"|".join(container.magic for container in CONTAINERS), re.DOTALL)


def known(file: OpenFile) -> Container | None:
    """Return what kind of container a file is, None if none of those known."""
    by_head: Iterator[Container] = iter(())
    if _any_magic().match(file.head):
        by_head = (container for container in CONTAINERS if re.match(container.magic, file.head, re.DOTALL))
    footer = file.read_at(max(0, file.size - FOOTER_BYTES), 8)
    by_footer = (container for container in _FOOTERS if re.match(container.magic, footer))
    return next(by_head, None) or next(by_footer, None) or (_ZLIB if _is_zlib(file.head) else None)


def _is_zlib(head: bytes) -> bool:
    """Whether bytes begin a zlib stream, which two bytes alone do not show."""
    if not re.match(_ZLIB.magic, head):
        return False
    try:
        return bool(zlib.decompressobj().decompress(head, 1 << 16))
    except zlib.error:
        return False


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
