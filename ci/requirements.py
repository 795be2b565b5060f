"""Print what pyproject.toml asks for, one requirement a line: to build and run pksm, and the extras named."""

import sys
import tomllib
from pathlib import Path


def main(extras):
    pyproject = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    wanted = pyproject["build-system"]["requires"] + project["dependencies"]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    print("\n".join(dict.fromkeys(wanted)))


main(sys.argv[1:])
