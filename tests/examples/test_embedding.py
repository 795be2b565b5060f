"""The examples of pksmd inside other simulators run, and come out as they must."""

import importlib.util

import numpy as np
import pytest

from pksm.testing import check_host

from support import ROOT

EXAMPLES = ROOT / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_loop(capsys):
    """Five machines share one system; the last pages of all five turn into its first page."""
    module = example("own_loop")
    saved = module.main()
    assert saved == (module.MACHINES - 1) * module.SYSTEM + module.MACHINES
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_simpy_workers(capsys):
    pytest.importorskip("simpy", reason="the extra `examples` is not installed")
    assert example("simpy_workers").main() == 150, "when all workers are gone the server's contents are left"
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_datacentre():
    """Where systems lie beside their like, more is saved, and fewer find no room; and a seed gives one result."""
    pytest.importorskip("simpy", reason="the extra `examples` is not installed")
    module = example("datacentre")
    by_room, by_content = module.run(module.by_room), module.run(module.by_content)
    assert by_content[0] > 1.5 * by_room[0] and by_content[1] < by_room[1]
    assert module.run(module.by_content, end_ms=10_000) == module.run(module.by_content, end_ms=10_000)
    assert len((EXAMPLES / "datacentre.py").read_text().splitlines()) <= 80


def test_page_cache(capsys):
    """Two hundred pinned pages keep their frames, and 99 contents that are not zero need one each."""
    assert example("page_cache").main() == [200 + 99, 99, 90 + 10]
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("pinned", [0, 3], ids=["nothing pinned", "every third page pinned"])
def test_page_cache_keeps_to_the_protocol(pinned):
    cache = example("page_cache").PageCache(200)

    def add(contents):
        entries = cache.add(contents)
        if pinned:
            cache.pin(entries[::pinned])
        return cache.map[entries]

    refuses = (lambda pages: cache.pinned[pages]) if pinned else (lambda pages: np.zeros(len(pages), bool))
    check_host(cache, add, lambda: cache.read(np.arange(len(cache.map))), refuses=refuses)


def test_page_cache_evicts_and_writes_what_is_shared():
    """Against a dictionary of what each entry must read, with a daemon that works between."""
    module = example("page_cache")
    cache, rng, due = module.PageCache(300, page_size=64), np.random.default_rng(5), {}
    daemon = module.Pksmd(cache, strict=True)
    for _ in range(200):
        contents = np.repeat(rng.integers(0, 4, (rng.integers(1, 6), 1)), 64, axis=1).astype(np.uint8)
        if len(due) < 200:
            due.update(zip(cache.add(contents).tolist(), contents, strict=True))
        entries = rng.choice(list(due), len(contents), replace=False)
        cache.write(entries, contents)
        due.update(zip(entries.tolist(), contents, strict=True))
        gone = rng.choice(list(due), min(2, len(due) - 1), replace=False)
        cache.evict(gone)
        for entry in gone.tolist():
            del due[entry]
        daemon.wake()
        assert np.array_equal(cache.read(np.array(list(due))), np.array(list(due.values())))
    daemon.check()
    assert 0 < cache.frames_saved == len(due) - (len(cache.memory) - len(cache.free_frames))
