"""Which reader takes a file, and readers that other packages bring."""

import collections
import sys
import types
import warnings
from importlib import metadata

import pytest

from pksm import sources
from pksm.errors import PksmError
from pksm.sources import opening

from support.writers import elf, kdump, lime, reading

PAGE = 4096


def core(tmp_path):
    elf.write_core(tmp_path / "core", [(PAGE, [b"x" * PAGE], 1, elf.R)], b"")
    return (tmp_path / "core").read_bytes()


FILES = {
    "core": core,
    "lime": lambda tmp_path: lime.lime([(0, b"x" * PAGE)]),
    "avml": lambda tmp_path: lime.avml([(0, b"x" * PAGE)]),
    "kdump": lambda tmp_path: kdump.kdump({0: b"x" * PAGE}),
    "kdump, flattened": lambda tmp_path: kdump.flatten(kdump.kdump({0: b"x" * PAGE})),
    "raw": lambda tmp_path: bytes(2 * PAGE),
    "raw, of a program": lambda tmp_path: elf.header(0, kind=2) + bytes(PAGE),
    "raw, one byte": lambda tmp_path: b"\x7f",
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_known_by_what_they_begin_with(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(FILES[name](tmp_path))
    source = sources.open_target(path)
    source.close()
    assert source.kind == name.partition(",")[0] and source.name == str(path)


CONTENTS = [bytes([number % 9 + 1]) * PAGE if number % 4 else bytes(PAGE) for number in range(200)]


def same_pages(path):
    """Write CONTENTS in each format; return {path: how many of the pages it does not hold}."""
    raw, core, guest = path / "memory.raw", path / "core", path / "guest"
    raw.write_bytes(b"".join(CONTENTS))
    elf.write_core(core, [(1 << 32, [None, *CONTENTS[:150]], 151, elf.R), (1 << 40, CONTENTS[150:], 60, elf.R)], b"")
    elf.write_core(guest, [(0, CONTENTS, 200, 7)], elf.qemu_note(), 1, physical=True)
    ranges = [(0, raw.read_bytes()[: 50 * PAGE]), (1 << 32, raw.read_bytes()[50 * PAGE :])]
    pages = {number: content if any(content) else kdump.ZERO for number, content in enumerate(CONTENTS)}
    files = {
        "lime": lime.lime(ranges), "avml": lime.avml(ranges), "zlib": kdump.kdump(pages),
        "plain": kdump.kdump(pages, compress=False), "flat": kdump.flatten(kdump.kdump(pages)),
    }  # fmt: skip
    for name, data in files.items():
        (path / name).write_bytes(data)
    return {raw: 0, core: 11, guest: 0} | {path / name: 0 for name in files}


def scanned(paths):
    from pksm.scan import scan

    opened = [sources.open_target(path) for path in paths]
    try:
        return scan(opened)
    finally:
        for source in opened:
            source.close()


def test_scans_equal_counting(tmp_path):
    counts = collections.Counter(CONTENTS)
    paths = same_pages(tmp_path)
    for path, holes in paths.items():
        result = scanned([path])
        totals, pages = result["totals"], result["sources"][0]["pages"]
        assert (totals["pages"], totals["zero"], totals["distinct"]) == (200, counts[bytes(PAGE)], len(counts)), path
        assert totals["duplicates"] == 200 - len(counts) - (counts[bytes(PAGE)] - 1)
        assert pages == {"data": 150, "zero": 50, "hole": holes, "excluded": 0}
        assert result["saving"]["pages"] == 200 - len(counts) + 1, "zero pages save their own frame, too"
    totals = scanned(paths)["totals"]
    n_all = 200 * len(paths)
    assert (totals["pages"], totals["distinct"]) == (n_all, len(counts))
    assert totals["duplicates"] == n_all - len(counts) - (len(paths) * counts[bytes(PAGE)] - 1)


def test_formats_are_told():
    told = sources.formats()
    assert list(told) == list(opening.READERS) and all(told.values())


class Point:
    """An entry point whose module is made here."""

    def __init__(self, name, load):
        self.name, self.load = name, load


def plug_in(monkeypatch, *points):
    real = metadata.entry_points
    ours = {"group": "pksm.sources"}
    monkeypatch.setattr(metadata, "entry_points", lambda **group: points if group == ours else real(**group))


class Opened(sources.Source):
    """What a reader of another package makes of a file."""

    kind = "other"

    def regions(self, page_size, allocate, progress):
        return iter(())


def reader(sniff, open_file=lambda file: Opened(file.path, file)):
    """A module that reads files."""
    module = types.ModuleType("reader", "Files of another package.\n\nMore of them.")
    module.sniff, module.open_file = sniff, open_file
    return module


def broken(*arguments):
    raise RuntimeError("broken\nin two lines")


def test_plug_ins_come_before_raw_and_after_ours(tmp_path, monkeypatch):
    heads = []
    plug_in(monkeypatch, Point("other", lambda: reader(lambda file: heads.append(file.head) or file.head[:2] == b"OT")))
    (tmp_path / "other").write_bytes(b"OT" + bytes(PAGE))
    (tmp_path / "raw").write_bytes(bytes(PAGE))
    (tmp_path / "lime").write_bytes(lime.lime([(0, b"x" * PAGE)]))
    assert reading.read(tmp_path / "other").source.kind == "other"
    assert reading.read(tmp_path / "raw").source.kind == "raw"
    assert reading.read(tmp_path / "lime").source.kind == "lime"
    assert heads == [b"OT" + bytes(PAGE - 2), bytes(PAGE)]
    assert list(sources.formats())[-2:] == ["other", "raw"]
    assert sources.formats()["other"] == "Files of another package."


BROKEN = {
    "does not load": broken,
    "is no module": lambda: 7,
    "has no functions": lambda: types.SimpleNamespace(sniff=1, open_file=2),
    "fails to sniff": lambda: reader(broken),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_is_named_and_stops_nothing(tmp_path, monkeypatch, case):
    works = Point("works", lambda: reader(lambda file: file.head[:2] == b"OT"))
    plug_in(monkeypatch, Point("bad-one", BROKEN[case]), works)
    path = tmp_path / "file"
    path.write_bytes(b"OT" + bytes(PAGE))
    with pytest.warns(UserWarning, match="plug-in bad-one .*pksm.sources") as caught:
        assert reading.read(path).source.kind == "other"
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    path.write_bytes(bytes(PAGE))
    opening._from_entry_points.cache_clear()  # as in another process: what does not load is named once in each
    with pytest.warns(UserWarning, match="bad-one"):
        assert reading.read(path).source.kind == "raw"
    path.write_bytes(lime.lime([(0, b"x" * PAGE)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reading.read(path).source.kind == "lime", "files that ours know are read without asking others"


def test_errors_of_a_plug_in_that_works_are_its_own(tmp_path, monkeypatch):
    def refuse(file):
        raise PksmError(f"{file.path}: is of another version")

    plug_in(monkeypatch, Point("other", lambda: reader(lambda file: True, refuse)))
    (tmp_path / "file").write_bytes(bytes(PAGE))
    with pytest.raises(PksmError, match="another version"):
        sources.open_target(tmp_path / "file")


def test_readers_load_their_packages_late(tmp_path):
    """What only one kind of file needs is not asked for by the others."""
    import subprocess

    (tmp_path / "memory").write_bytes(lime.lime([(0, b"x" * PAGE)]))
    code = (
        "import sys; from pksm import sources; sources.formats(); sources.open_target(sys.argv[1]).close(); "
        "print([name for name in ('elftools', 'cramjam') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "memory"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
