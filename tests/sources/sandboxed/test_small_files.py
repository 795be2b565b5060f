"""Small files, which a worker reads before they are asked for."""

from functools import partial

import pytest

from pksm.linux.sandbox.channel import Channel
from pksm.scan import Settings
from pksm.sources import open_target, opened

from support.sandboxed import PAGE, outcome


@pytest.fixture
def asked(monkeypatch):
    """What the other side is asked for, by name, in order."""
    names = []
    send = Channel.send

    def noting(self, name, *content, **how):
        names.append(name)
        return send(self, name, *content, **how)

    monkeypatch.setattr(Channel, "send", noting)
    return names


def test_small_files_are_not_asked_for(small, sandbox, asked):
    assert outcome(small, sandbox) == outcome(small, None)
    assert asked.count("open") >= 5 and asked.count("read") == 1, "all but the last, behind which nothing is opened"


def test_another_page_size_is_asked_for(small, sandbox, asked):
    settings = Settings(page_size=512)
    for _ in range(2):
        assert outcome(small, sandbox, settings) == outcome(small, None, settings)
    assert asked.count("read") == 5 + 1, "from then on it is the one that is guessed"


def test_a_small_file_is_read_as_often_as_one_likes(small, sandbox):
    def pages_of(source):
        return [region.view.tobytes() for region in source.regions(PAGE, None, lambda n: None)]

    with opened([partial(open_target, path, sandbox) for path in small]) as (found, _):
        first = [pages_of(source) for source in reversed(found)]
        assert first == [pages_of(source) for source in reversed(found)]
        assert first[0] == [bytes([1]) * PAGE + b"x" * PAGE + bytes([1]) * PAGE + b"x" * PAGE]
        found[1].close()
        assert pages_of(found[2]) == first[2]


def test_what_a_small_file_lacks_is_said_of_it_alone(small, tmp_path, sandbox):
    short = tmp_path / "short"
    short.write_bytes(b"x" * 100)
    paths = [small[0], short, sparse_file(tmp_path), *small[1:]]
    assert outcome(paths, sandbox, Settings()) == outcome(paths, None, Settings())


def sparse_file(directory):
    path = directory / "holes"
    with open(path, "wb") as file:
        file.truncate(100 * PAGE)
        file.seek(50 * PAGE)
        file.write(b"y" * PAGE + b"over")
    return path
