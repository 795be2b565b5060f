"""Small pages to scan, scans of files and what brute force finds in their pages."""

from pksm import sources
from pksm.scan import Settings, scan
from pksm.sources import opened

from model.oracle import answer

SIZE = 512


def page(text, size=SIZE):
    return text.encode().ljust(size, b"\0")


def scan_files(*paths, **settings):
    progress = settings.pop("progress", None)
    with opened([lambda path=path: sources.open_target(path) for path in paths]) as (found, errors):
        return scan(found, Settings(**settings), progress, errors=errors)


def random_pages(rng, n, size):
    """Pages of few contents, zero pages and holes among them; contents that differ late or early, or look alike."""
    contents = [bytes(size), bytes(size - 1) + b"\1", b"\1" + bytes(size - 1), rng.randbytes(size), None]
    contents += [rng.randbytes(8) + bytes(size - 8) for _ in range(rng.randrange(1, 6))]
    contents += [b"\7" * (size - 4) + rng.randbytes(4) for _ in range(rng.randrange(1, 6))]
    return [rng.choice(contents) for _ in range(n)]


def check_against_brute_force(result, files):
    """files: {name: pages}, a page being bytes, or None for a hole."""
    pages = [content for contents in files.values() for content in contents if content is not None]
    truth, totals = answer(pages), result["totals"]
    assert totals["pages"] == len(pages)
    assert totals["zero"] == truth.zero_pages
    assert totals["distinct"] == truth.distinct
    assert totals["duplicates"] == truth.pages_sharing
    for source, contents in zip(result["sources"], files.values(), strict=True):
        own = [content for content in contents if content is not None]
        alone = answer(own)
        assert source["pages"]["zero"] == alone.zero_pages
        assert source["pages"]["data"] == len(own) - alone.zero_pages
        assert source["pages"]["hole"] == len(contents) - len(own)
        assert source["mappings"] == len(own)
        assert source["duplicates"] == alone.pages_sharing
    sizes = sorted(map(len, truth.groups), reverse=True)
    assert result["groups_found"] == len(sizes)
    assert [group["pages"] for group in result["groups"]] == sizes[: result["settings"]["top"]]
    for group in result["groups"]:
        assert sum(place["pages"] for place in group["where"]) == group["pages"]
    return truth
