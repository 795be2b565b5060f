"""The site can be built, without a warning: every link and every anchor in it leads somewhere."""

import subprocess
import sys

import pytest

from support import ROOT


def test_the_site_is_built_without_warnings(tmp_path):
    pytest.importorskip("sphinx", reason="make docs installs it")
    command = [sys.executable, "-m", "sphinx", "--quiet", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
