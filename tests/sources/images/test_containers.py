"""Files that hold memory otherwise than it lay: named with the remedy, and never read as raw memory without a word."""

import bz2
import gzip
import io
import lzma
import tarfile
import types
import zipfile
from importlib import metadata

import pytest

from pksm import sources
from pksm.errors import PksmError
from pksm.scan.sums import FileSums

from support.writers import reading

PAGE = 4096
RAM = b"".join(number.to_bytes(8, "little") * (PAGE // 8) for number in range(1, 9))


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("ram", RAM)
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
    "tar": tarred(),
    "zstd": (0xFD2FB528).to_bytes(4, "little") + RAM,
    "lz4": (0x184D2204).to_bytes(4, "little") + RAM,
    "7z": b"7z\xbc\xaf\x27\x1c\0\4" + RAM,
    "QEMU": b"QEVM\0\0\0\3" + RAM,
    "virsh": b"LibvirtQemudSave\2\0\0\0" + RAM,
    "VirtualBox": b"\x7fVirtualBox SavedState V2.0\n" + RAM,
    "VMware": (0xBED2BED2).to_bytes(4, "little") + RAM,
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


def test_a_crash_dump_of_windows_is_read_with_a_remark(tmp_path):
    path = tmp_path / "MEMORY.DMP"
    path.write_bytes(b"PAGEDU64".ljust(2 * PAGE, b"\0") + RAM)
    result = reading.read(path)
    (line,) = result.source.warnings
    assert "crash dump of Windows" in line and b"".join(list(reading.contents(result).values())[2:]) == RAM


@pytest.mark.parametrize("start", [b"", b"\x1f\x8b\x07", b"BZh91", b"PK\5\6", b"QFI", b"MDM"])
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
