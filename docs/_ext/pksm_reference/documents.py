"""Every JSON document, from its TypedDict."""

import inspect
import types
import typing
from typing import Annotated, Any, Literal, NotRequired, Union

import pksm.documents
from pksm_reference import markdown

PLAIN = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "null"}


def classes() -> dict[str, Any]:
    """Return {name: TypedDict} of all that pksm.documents offers."""
    return {name: getattr(pksm.documents, name) for name in pksm.documents.__all__}


def fields(document: Any) -> dict[str, Any]:
    """Return {field: annotation} of a TypedDict, NotRequired and Annotated included."""
    return typing.get_type_hints(document, include_extras=True)


def schema(document: Any) -> str | None:
    """Return the schema that a document names, None of a part of one."""
    hint = fields(document).get("schema")
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Literal else None


def parts(hint: Any) -> tuple[Any, str, str, bool]:
    """Return (type, unit, meaning, whether it may be missing) of an annotation, the outermost words first."""
    unit, meaning, optional = "", [], False
    words: list[str] = []
    while typing.get_origin(hint) in (NotRequired, Annotated):
        if typing.get_origin(hint) is NotRequired:
            (hint,), optional = typing.get_args(hint), True
            continue
        hint, *metadata = typing.get_args(hint)
        words = [*metadata, *words]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is Union:
        inner = [parts(entry) for entry in typing.get_args(hint)]
        units = [entry[1] for entry in inner if entry[1]]
        return hint, units[0] if units else (words[0] if words else ""), "; ".join(words[0 if units else 1 :]), optional
    if words:
        unit, meaning = words[0], words[1:]
    return hint, unit, "; ".join(filter(None, meaning)), optional


def kind(hint: Any) -> str:
    """Return the JSON type of an annotation as Markdown; parts of documents are links."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (NotRequired, Annotated):
        return kind(arguments[0])
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, types.UnionType) or origin is Union:
        return " or ".join(dict.fromkeys(kind(entry) for entry in arguments))
    if origin is Literal:
        return " or ".join(markdown.code(f'"{entry}"') for entry in arguments)
    if origin is list:
        return f"list of {kind(arguments[0])}"
    if origin is dict:
        return f"object: text to {kind(arguments[1])}"
    return f"[{hint.__name__}](#{anchor(hint)})"


def anchor(document: Any) -> str:
    """Return the anchor of a document or a part of one."""
    return f"json-{document.__name__.lower()}"


def used(document: Any) -> list[Any]:
    """Return the parts that a document is made of, in the order in which they are met, each once."""
    found: dict[Any, None] = {}

    def walk(hint: Any) -> None:
        if typing.is_typeddict(hint):
            if hint not in found and hint is not document:
                found[hint] = None
                for inner in fields(hint).values():
                    walk(inner)
            return
        for inner in typing.get_args(hint):
            walk(inner)

    for hint in fields(document).values():
        walk(hint)
    return list(found)


def page() -> str:
    """Return a table of the schemas, a section for each document with its parts, and what several have."""
    documents = {name: cls for name, cls in classes().items() if schema(cls)}
    users: dict[Any, list[Any]] = {}
    for document in documents.values():
        for part in used(document):
            users.setdefault(part, []).append(document)
    shared = [part for part, owners in users.items() if len(owners) > 1]
    index = markdown.table(
        ("schema", "type", "what it is"),
        [
            (f"[`{schema(cls)}`](#{anchor(cls)})", markdown.code(name), markdown.text(_about(cls)))
            for name, cls in documents.items()
        ],
    )
    sections = []
    for cls in documents.values():
        sections.append(_section(cls, f"## {schema(cls)}"))
        sections += [_section(part, f"### {part.__name__}") for part in used(cls) if part not in shared]
    common = [_section(part, f"### {part.__name__}") for part in shared]
    return markdown.join(index, *sections, "## Shared parts", *common)


def _about(cls: Any) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0]


def _section(cls: Any, title: str) -> str:
    rows = []
    for name, hint in fields(cls).items():
        plain, unit, meaning, optional = parts(hint)
        text = markdown.text(meaning)
        missing = "*may be missing*" if optional else ""
        rows.append((markdown.code(name), kind(plain), markdown.text(unit), "; ".join(filter(None, (text, missing)))))
    about = [markdown.text(paragraph) for paragraph in (inspect.getdoc(cls) or "").split("\n\n")]
    return markdown.join(
        f"({anchor(cls)})=\n{title}", *about, markdown.table(("field", "type", "unit", "meaning"), rows)
    )
