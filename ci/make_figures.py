"""Draws docs/figures/*.svg anew, as docs/figures/figures.toml says: python ci/make_figures.py [--check] [NAME...]

A figure is drawn from a stored document, or by the command itself where its numbers are the same on every machine.
--check writes nothing; it exits with 1 if a figure shows other words, numbers or facts than it would if drawn anew.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
sys.path.insert(0, str(ROOT))

from pksm import report  # noqa: E402


def figures():
    """Return {name: what figures.toml says of it}."""
    return tomllib.loads((FIGURES / "figures.toml").read_text(encoding="utf-8"))


def drawn(name, entry):
    """Return a figure, drawn anew, as the bytes of an SVG file."""
    if "stored" in entry:
        document = json.loads((ROOT / entry["stored"]).read_text(encoding="utf-8"))
        return report.picture(document, "svg")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "pksm", *shlex.split(entry["command"])[1:]]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["sh", "-e", "-c", entry.get("prepare", "")], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        return (Path(folder) / f"{name}.svg").read_bytes()


def words(svg):
    """Return all text of an SVG file: what is written in it, and its metadata. Curves are matplotlib's affair."""
    return [text.strip() for text in ElementTree.fromstring(svg).itertext() if text.strip()]


def main(argv):
    parser = argparse.ArgumentParser(prog="python ci/make_figures.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a figure (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a figure is stale")
    given = parser.parse_args(argv)
    known, stale = figures(), []
    for name in given.names or known:
        if name not in known:
            print(f"ci/make_figures.py: no figure {name!r}: choose from {', '.join(known)}", file=sys.stderr)
            return 2
        path, svg = FIGURES / f"{name}.svg", drawn(name, known[name])
        if not given.check:
            path.write_bytes(svg)
        elif not path.exists() or words(path.read_bytes()) != words(svg):
            stale.append(name)
    if stale:
        print(f"stale: {', '.join(stale)}; draw them anew: make figures", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
