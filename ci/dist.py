"""Build the sdist, and from that sdist the wheel: `python ci/dist.py DIRECTORY`.

Works on a copy of the sources, so that nothing left over from earlier builds gets in, and needs what
build-system.requires names in the running environment (no build isolation, no network).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.o", ".hypothesis",
    ".benchmarks", "_core.c",
)  # fmt: skip


def run(*command, cwd=None):
    """Run a command in silence; when it fails, say what it said and stop."""
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def build_sdist(directory):
    """Build the sdist from the sources and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "pksm")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        hook = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
        run("-c", hook, str(directory), cwd=copy)
    (sdist,) = directory.glob("pksm-*.tar.gz")
    return sdist


def build_wheel(sdist, directory):
    """Build the wheel from the sdist and return its path."""
    alone = ["--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir"]
    run("-m", "pip", "wheel", "--disable-pip-version-check", *alone, "--wheel-dir", str(directory), str(sdist))
    (wheel,) = directory.glob("pksm-*.whl")
    return wheel


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for old in [*directory.glob("pksm-*.tar.gz"), *directory.glob("pksm-*.whl")]:
        old.unlink()
    sdist = build_sdist(directory)
    print(sdist)
    print(build_wheel(sdist, directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
