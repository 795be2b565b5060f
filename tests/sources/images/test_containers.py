"""Files that hold memory otherwise than it lay: named with the remedy, and never read as raw memory without a word."""

import bz2
import gzip
import io
import lzma
import tarfile
import types
import zipfile
import zlib
from importlib import metadata

import pytest

from pksm import sources
from pksm.errors import PksmError
from pksm.scan.sums import FileSums

from support.writers import reading

PAGE = 4096
RAM = b"".join(number.to_bytes(8, "little") * (PAGE // 8) for number in range(1, 9))


def zipped(name="ram"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, RAM)
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("ram")
        info.size = len(RAM)
        archive.addfile(info, io.BytesIO(RAM))
    return file.getvalue()


# What libraries of others write, or else the magic that the format's description has.
REFUSED = {
    "gzip": gzip.compress(RAM),
    "xz": lzma.compress(RAM),
    "bzip2": bz2.compress(RAM),
    "zip": zipped(),
    "recording": zipped("recording.json"),
    "tar": tarred(),
    "zstd": (0xFD2FB528).to_bytes(4, "little") + RAM,
    "lz4": (0x184D2204).to_bytes(4, "little") + RAM,
    "7z": b"7z\xbc\xaf\x27\x1c\0\4" + RAM,
    "QEMU": b"QEVM\0\0\0\3" + RAM,
    "virsh": b"LibvirtQemudSave\2\0\0\0" + RAM,
    "VirtualBox": b"\x7fVirtualBox SavedState V2.0\n" + RAM,
    "VMware": (0xBED2BED2).to_bytes(4, "little") + RAM,
    "qcow ": b"QFI\xfb\0\0\0\1" + RAM,
    "QED": b"QED\0" + RAM,
    "VMDK": b"KDMV\1\0\0\0" + RAM,
    "VHDX": b"vhdxfile" + RAM,
    "VHD ": b"conectix\0\0\0\2" + RAM,
    "VDI": b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + (0xBEDA107F).to_bytes(4, "little") + RAM,
    "VHD image": RAM + b"conectix\0\0\0\2".ljust(512, b"\0"),
    "partitions": bytes(510) + b"\x55\xaaEFI PART" + RAM,
    "ext4": bytes(1024 + 56) + (0xEF53).to_bytes(2, "little") + bytes([1, 0, 1, 0]) + RAM,
    "XFS": b"XFSB\0\0\x10\0" + RAM,
    "squashfs": b"hsqs" + RAM,
    "zlib": zlib.compress(RAM * 4),
    "lzma": lzma.compress(RAM, lzma.FORMAT_ALONE),
    "zstd or lz4": (0x184D2A50).to_bytes(4, "little") + RAM,
    "cpio": b"070701" + b"0" * 104 + RAM,
    "ar archive": b"!<arch>\n" + RAM,
    "encrypted": b"LUKS\xba\xbe\0\2" + RAM,
    "Xen": (0xF00FEBED).to_bytes(4, "little") + RAM,
    "Hyper-V": (0x01282014).to_bytes(4, "little") + RAM,
    "CRIU": (0x54564319).to_bytes(4, "little") + RAM,
    "VMware ": (0xBED3BED3).to_bytes(4, "little") + RAM,
    "EWF": b"EVF\x09\x0d\x0a\xff\0" + RAM,
    "(EWF)": b"EVF2\x0d\x0a\x81\0" + RAM,
    "HPAK": b"HPAK" + RAM,
    "LKCD": (0xA8190173618F23ED).to_bytes(8, "little") + RAM,
    "s390": (0xA8190173618F23FD).to_bytes(8, "big") + RAM,
    "qcow2": b"QFI\xfb\0\0\0\3" + RAM,
    "minidump": b"MDMP\x93\xa7\0\0" + RAM,
    "hibernation": b"hibr" + RAM,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_container_is_refused_by_name_with_the_remedy(tmp_path, name):
    path = tmp_path / "memory"
    path.write_bytes(REFUSED[name])
    with pytest.raises(PksmError) as caught:
        sources.open_target(path)
    line = str(caught.value)
    what, _, remedy = line.removeprefix(f"{path}: ").partition(", which can't be read as memory: ")
    assert line.startswith(f"{path}: is ") and name in what and len(remedy) > 10 and "\n" not in line


# Pages that lie in them as they lay in memory, behind what comes first.
READ = {
    "crash dump of Windows": (b"PAGEDU64", 2),
    "crash dump of Windows, of 32 bit": (b"PAGEDUMP", 1),
    "ELF file and not a core": (b"\x7fELF\2\1\1".ljust(16, b"\0") + b"\3\0", 1),
    "Mach-O core": ((0xFEEDFACE).to_bytes(4, "little"), 1),
    "swap area": (bytes(4086) + b"SWAPSPACE2", 1),
}


@pytest.mark.parametrize("name", READ)
def test_pages_that_lie_as_in_memory_are_read_with_a_remark(tmp_path, name):
    start, pages = READ[name]
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(start.ljust(pages * PAGE, b"\0") + RAM)
    result = reading.read(path)
    (line,) = result.source.warnings
    assert name.partition(",")[0] in line and b"".join(list(reading.contents(result).values())[pages:]) == RAM


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\x1f\x8b\x07",
        b"BZh91",
        b"PK\5\6",
        b"QFI",
        b"MDM",
        b"\x78\x9c" + bytes(range(99)),
        bytes([93, 0, 0, 0, 0, 0, 0, 0] * 512),
        b"EVF\x09",
        b"conectix"[:7],
    ],
)
def test_memory_that_begins_almost_so_is_memory(tmp_path, start):
    path = tmp_path / "memory"
    path.write_bytes(start + RAM[len(start) :])
    assert reading.read(path).source.warnings == []


def test_a_reader_of_another_package_comes_first(tmp_path, monkeypatch):
    class Unpacked(sources.Source):
        kind = "unpacked"

        def regions(self, page_size, allocate, progress):
            return iter(())

    module = types.ModuleType("gz", "Memory compressed with gzip.")
    module.sniff = lambda file: file.head[:2] == b"\x1f\x8b"
    module.open_file = lambda file: Unpacked(file.path, file)
    point = types.SimpleNamespace(name="gz", load=lambda: module)
    real = metadata.entry_points
    monkeypatch.setattr(
        metadata, "entry_points", lambda **of: [point] if of == {"group": "pksm.sources"} else real(**of)
    )
    path = tmp_path / "ram.gz"
    path.write_bytes(REFUSED["gzip"])
    assert reading.read(path).source.kind == "unpacked"


def test_sums_are_those_of_any_file(tmp_path):
    path = tmp_path / "ram.img"
    path.write_bytes(REFUSED["qcow2"])
    assert FileSums(path, "crc32c").n_pages == 8
