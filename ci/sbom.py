"""Writes the bill of materials of a wheel, as CycloneDX in JSON: `python ci/sbom.py FILE`.

It names pksm, the C core that is compiled into it, and what pip installs besides. Nothing in it hangs on the time or
the place of the build.
"""

import json
import re
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/bom")
VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


def purl(name, version=None):
    """Return the package URL of a Python package."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}" + (f"@{version}" if version else "")


def requirement(text, scope):
    """Return the component that a requirement such as "cffi>=1.15" asks for."""
    name = re.match(r"[A-Za-z0-9._-]+", text)[0]
    return {
        "type": "library",
        "bom-ref": purl(name),
        "name": name,
        "purl": purl(name),
        "scope": scope,
        "properties": [{"name": "pksm:requirement", "value": text}],
    }


def bill():
    """Return the document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = VERSION.search((ROOT / "pksm" / "__init__.py").read_text(encoding="utf-8"))[1]
    licenses = [{"license": {"id": project["license"]}}]
    core = {"type": "library", "bom-ref": "libpksm", "name": "libpksm", "version": version, "licenses": licenses,
            "description": "The C core: csrc/, compiled into pksm/engine/native/_core.abi3.so"}  # fmt: skip
    own = {
        "type": "application",
        "bom-ref": purl(project["name"], version),
        "name": project["name"],
        "version": version,
        "description": project["description"],
        "licenses": licenses,
        "purl": purl(project["name"], version),
        "components": [core],
    }
    extras = project["optional-dependencies"]
    needed = [requirement(text, "required") for text in project["dependencies"]]
    wanted = [requirement(text, "optional") for name in ("images", "plot") for text in extras[name]]
    parts = {part["bom-ref"]: part for part in [*wanted, *needed]}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": [parts[name] for name in sorted(parts)],
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": ["libpksm", *sorted(parts)]},
            *({"ref": name, "dependsOn": []} for name in ("libpksm", *sorted(parts))),
        ],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(bill(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
