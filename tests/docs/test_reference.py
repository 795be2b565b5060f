"""The reference has a place for all that there is: verbs and options, schemas, settings and counters, modules, C."""

import re
import sys

import pytest

from pksm.cli import commands
from pksm.policies import registry

from support import ROOT

sys.path.append(str(ROOT / "docs" / "_ext"))

import pksm_reference
from pksm_reference import c_api, documents, markdown, python_api

REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def made():
    """What each maker makes."""
    return {name: make() for name, make in pksm_reference.MAKERS.items()}


def test_every_maker_has_its_place_in_a_page():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md"))
    assert sorted(pksm_reference.PLACE.findall(pages)) == sorted(pksm_reference.MAKERS)
    with pytest.raises(KeyError, match="nothing"):
        pksm_reference.fill("<!-- made: nothing -->")


def test_every_verb_and_option_is_there(made):
    assert len(dict(commands.every())) > 8
    for name, module in commands.every():
        section = made["command-line"].split(f"\n## pksm {name}\n")[1].split("\n## ")[0]
        for action in commands.parser(name, module)._actions:
            for option in action.option_strings:
                assert action.dest == "help" or re.search(rf"`{option}[` ].*\n: \S", section), f"{name} {option}"


def test_every_schema_of_the_code_has_a_section(made):
    """Documents have theirs among the documents; what is stored in files of another kind, among the formats."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "pksm").rglob("*.py"))
    named = set(re.findall(r'"(pksm\.[a-z.]+/\d+)"', code))
    assert {"pksm.scan/1", "pksm.features/1"} <= named
    formats = (ROOT / "docs/reference/formats.md").read_text(encoding="utf-8")
    assert not {
        schema for schema in named if f"\n## {schema}\n" not in made["documents"] and f"`{schema}`" not in formats
    }


def test_every_field_has_a_row_and_every_part_one_section(made):
    for name, cls in documents.classes().items():
        for field, hint in documents.fields(cls).items():
            assert f"\n| `{field}` |" in made["documents"], f"{name}.{field}"
            described = field == "schema" or documents.parts(hint)[2] or "](#" in documents.kind(hint)
            assert described, f"{name}.{field}: no word on what it means"
        for part in [cls, *documents.used(cls)]:
            assert made["documents"].count(f"({documents.anchor(part)})=\n") == 1


def test_types_units_and_meanings_of_fields():
    from typing import Annotated, NotRequired

    pages = Annotated[int, "pages"]
    assert documents.parts(Annotated[pages, "kept"]) == (int, "pages", "kept", False)
    assert documents.parts(NotRequired[Annotated[str, "", "who"]]) == (str, "", "who", True)
    assert documents.parts(Annotated[pages | None, "null: unchecked"])[1:3] == ("pages", "null: unchecked")
    assert documents.kind(list[Annotated[int, "pages"] | None]) == "list of integer or null"


def test_settings_and_counters_of_every_policy_are_there(made):
    for spec in map(registry.spec, registry.names()):
        section = made["policies"].split(f"(policy-{spec.name})=")[1].split("(policy-")[0]
        for name in [*spec.settings.entries(), *spec.counters]:
            assert f"\n| `{name}` |" in section


def test_every_public_module_and_name_is_there(made):
    from house.test_public_api import MODULES

    assert set(python_api.modules()) >= set(MODULES)
    for module, names in MODULES.items():
        section = made["python"].split(f"\n## {module}\n")[1].split("\n## ")[0]
        for name in python_api.offered(module):
            assert (name in names and f"{module}.{name}\n" in section + "\n") or f"`{name} <" in section, (
                f"{module}.{name}"
            )


def test_every_declaration_of_the_header_is_there(made):
    names = set(re.findall(r"\b(pksm_\w+|PKSM_\w+)\b", c_api.header().partition("/* cffi: begin */")[2]))
    code = "\n".join(re.findall(r"```c\n(.*?)```", made["c"], re.DOTALL))
    assert len(names) > 100 and not {name for name in names if name not in code}
    for kind, words, declaration in c_api.entries(c_api.header()):
        assert kind == "section" or f"\n### {c_api.name_of(declaration)}\n" in made["c"]
        assert kind == "section" or "(" not in declaration.partition("{")[0] or words, f"no comment: {declaration}"


def test_plain_text_is_shown_as_it_is():
    assert markdown.text("a_b *c* --json `x*y` |") == r"a\_b \*c\* `--json` `x*y` \|"
    assert markdown.table(("a",), []) == ""
