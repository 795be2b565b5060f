"""The pages that steer the running kernel's KSM, where there is one and this user may."""

import os

import pytest

from support import ROOT
from support.doc_blocks import KERNEL, in_a_process

PAGES = [path for path in sorted(ROOT.glob("docs/*/*.md")) if KERNEL in path.read_text(encoding="utf-8")]
CAN = os.geteuid() == 0 and os.access("/sys/kernel/mm/ksm/run", os.W_OK)


@pytest.mark.kernel
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_its_blocks_print(page, tmp_path):
    if not CAN:
        pytest.skip("needs root, and a kernel with KSM")
    wrong = in_a_process(page, tmp_path, "--with-kernel")
    assert not wrong, wrong
