"""What pyproject.toml can't say: the cffi extension, the abi3 wheel tag, and csrc/ inside the wheel."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class build_py_with_csrc(build_py):
    """Puts the C sources into the wheel as pksm/csrc, so that they can be compiled into other programs."""

    def run(self):
        sources = sorted(path.relative_to("csrc").as_posix() for path in Path("csrc").rglob("*.[ch]"))
        self.data_files.append(("pksm", "csrc", str(Path(self.build_lib, "pksm", "csrc")), sources))
        super().run()


setup(
    cffi_modules=["csrc/build_ffi.py:ffibuilder"],
    cmdclass={"build_py": build_py_with_csrc},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
