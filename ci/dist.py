"""Build the sdist, and from that sdist the wheel: `python ci/dist.py DIRECTORY`.

Works on a copy of the sources, so that nothing left over from earlier builds gets in, and needs what
build-system.requires and the extra `dist` name in the running environment (no build isolation, no network).

The same sources give the same bytes, wherever and whenever they are built with the same tools: all times are
SOURCE_DATE_EPOCH (that of the last commit, unless it is set), and no path of the build gets in.
"""

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "build", "dist", "*.egg-info", "__pycache__", "*.so", "*.o", ".hypothesis",
    ".benchmarks", "_core.c",
)  # fmt: skip
OLDEST = 315532800  # 1980-01-01: the first day that a zip file knows
TOOLS = Path(sys.executable).parent


def run(*command, cwd=None, **variables):
    """Run a command in silence; when it fails, print its output and stop."""
    path = os.pathsep.join([str(TOOLS), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "SOURCE_DATE_EPOCH": str(date()), **variables}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, umask=0o022)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def date():
    """Return the time of the sources, in seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        log = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
        given = log.stdout.strip() if (ROOT / ".git").exists() else ""
    return max(OLDEST, int(given or 0))


def build_sdist(directory):
    """Build the sdist from the sources and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "pksm")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        hook = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
        run(sys.executable, "-c", hook, str(directory), cwd=copy)
    (sdist,) = directory.glob("pksm-*.tar.gz")
    _pack_again(sdist)
    return sdist


def _pack_again(sdist):
    """Give the archive's members one order, one time, one owner, and modes that do not hang on a umask."""
    packed = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = date(), 0, 0, "", ""
            member.mode, member.pax_headers = 0o755 if member.mode & 0o100 else 0o644, {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with open(sdist, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=date()) as zipped:
        zipped.write(packed.getvalue())


def build_wheel(sdist, directory):
    """Build the wheel from the sdist and return its path; its tag is that of this machine alone."""
    alone = ["--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir"]
    build = {
        # Debugging information would name the directory that it was compiled in,
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -g0".strip(),
        # and a Python that is not the system's has its own directory searched for libraries.
        "LDSHARED": os.environ.get("LDSHARED", f"{os.environ.get('CC') or 'gcc'} -shared"),
    }
    run(sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", *alone,
        "--wheel-dir", str(directory), str(sdist), **build)  # fmt: skip
    (wheel,) = directory.glob("pksm-*-linux_*.whl")
    return wheel


def tag(wheel, directory):
    """Write the wheel again with the tag of all Linux distributions that it runs on, and return its path.

    Stops if it needs more of Python than its tag promises.
    """
    run("auditwheel", "repair", "--wheel-dir", str(directory), str(wheel))
    (tagged,) = [path for path in directory.glob("pksm-*.whl") if path != wheel]
    run("abi3audit", "--strict", str(tagged))
    return tagged


def main(directory):
    """Build both into a directory, where they replace older ones."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in [*directory.glob("pksm-*.tar.gz"), *directory.glob("pksm-*.whl")]:
        old.unlink()
    sdist = build_sdist(directory)
    print(sdist)
    with tempfile.TemporaryDirectory() as scratch:
        print(tag(build_wheel(sdist, Path(scratch)), directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
