"""A child to read, and both ways to ask for its pages."""

import pytest

from pksm.linux.proc import pagemap

from support.live_children import Child, pagemap_scan_works


@pytest.fixture
def child():
    child = Child()
    yield child
    child.kill()
    child.process.stdin.close()
    child.process.stdout.close()


@pytest.fixture(params=["PAGEMAP_SCAN", "entries"])
def way(request, monkeypatch):
    """Run a test with the ioctl and with the fallback that older kernels get."""
    if request.param == "entries":
        monkeypatch.setattr(pagemap.Pagemap, "_has_scan", lambda self: False)
    elif not pagemap_scan_works():
        pytest.skip("this kernel has no PAGEMAP_SCAN (Linux 6.7)")
    return request.param
