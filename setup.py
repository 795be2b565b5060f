"""What pyproject.toml can't say: the cffi extension, the abi3 wheel tag, csrc/, man pages and the bill of materials."""

import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

MAN_PAGES = Path("build", "man")


class build_py_with_csrc(build_py):
    """Puts the C sources into the wheel as pksm/csrc, so that they can be compiled into other programs."""

    def run(self):
        sources = sorted(path.relative_to("csrc").as_posix() for path in Path("csrc").rglob("*.[ch]"))
        self.data_files.append(("pksm", "csrc", str(Path(self.build_lib, "pksm", "csrc")), sources))
        if not self.editable_mode:
            self.add_man_pages()
        super().run()

    def add_man_pages(self):
        """Makes the man pages of what is packed, so that none is ever old, and has them installed where man looks."""
        subprocess.run([sys.executable, "ci/man_pages.py", str(MAN_PAGES)], check=True)
        pages = sorted(map(str, MAN_PAGES.glob("*.1")))
        self.distribution.data_files.append(("share/man/man1", pages))


class bdist_wheel_with_sbom(bdist_wheel):
    """Puts the bill of materials where tools look for it: .dist-info/sboms (PEP 770)."""

    def write_wheelfile(self, wheelfile_base, *arguments, **named):
        super().write_wheelfile(wheelfile_base, *arguments, **named)
        place = Path(wheelfile_base, "sboms", "pksm.cdx.json")
        place.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "ci/sbom.py", str(place)], check=True)


setup(
    cffi_modules=["csrc/build_ffi.py:ffibuilder"],
    cmdclass={"build_py": build_py_with_csrc, "bdist_wheel": bdist_wheel_with_sbom},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
