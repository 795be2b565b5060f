"""What a picture says about itself in its file: a caption, and what its figures depend on."""

from collections.abc import Mapping
from typing import Any

from pksm.plain import plain


def metadata(document: Mapping[str, Any], caption: str, form: str) -> dict[str, str | None]:
    """Return the metadata of a file, under the names that its form has for them; no dates."""
    title, about, source = f"Picture of {document['schema']}", plain(caption), plain(facts(document))
    if form == "svg":
        return {"Title": title, "Description": about, "Source": source, "Creator": "pksm", "Date": None}
    if form == "png":
        return {"Title": title, "Description": about, "Source": source, "Software": "pksm"}
    return {"Title": title, "Subject": about, "Keywords": source, "Creator": "pksm", "CreationDate": None}


def facts(document: Mapping[str, Any]) -> str:
    """Return what figures depend on, as far as a document names it: version, commit, machine, seed, command."""
    found = [f"schema {document['schema']}"]
    if "pksm" in document:
        found.append(f"pksm {document['pksm']}")
    if document.get("commit"):
        found.append(f"commit {document['commit']}")
    if "machine" in document:
        machine = document["machine"]
        found.append(f"machine {machine['cpu']} ({machine['cpu_level']}), {machine['cores']} CPUs")
        found += [f"Linux {machine['kernel']}", f"Python {machine['python']}", f"numpy {machine['numpy']}"]
    if "seed" in document:
        found.append(f"seed {document['seed']}")
    if document.get("command"):
        found.append(f"command {document['command']}")
    return "; ".join(found)
