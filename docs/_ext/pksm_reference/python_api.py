"""The public modules and what each offers: all modules that `pksm` and its public packages name in `__all__`."""

import importlib
import inspect
import types

from pksm_reference import markdown

# pksm.documents has a page of its own, in the words of JSON.
ELSEWHERE = {"pksm.documents": "[JSON documents](json.md)"}


def modules(name: str = "pksm") -> list[str]:
    """Return the public modules, pksm first, each before those it names."""
    module = importlib.import_module(name)
    found = [name]
    for entry in getattr(module, "__all__", ()):
        value = getattr(module, entry)
        if isinstance(value, types.ModuleType) and value.__name__ == f"{name}.{entry}":
            found += modules(value.__name__)
    return found


def offered(name: str) -> dict[str, object]:
    """Return {name: object} of what a module offers besides modules."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None) or [entry for entry in vars(module) if not entry.startswith("_")]
    values = {entry: getattr(module, entry) for entry in names}
    return {entry: value for entry, value in values.items() if not isinstance(value, types.ModuleType)}


def homes() -> dict[int, str]:
    """Return {id of a class or function: the last module that offers it}, which is where it is described."""
    return {
        id(value): name
        for name in modules()
        if name not in ELSEWHERE
        for value in offered(name).values()
        if inspect.isclass(value) or inspect.isroutine(value)
    }


def page() -> str:
    """Return a table of the modules and a section for each."""
    home = homes()
    index = markdown.table(
        ("module", "what it offers"), [(f"[`{name}`](#{anchor(name)})", _about(name)[0]) for name in modules()]
    )
    return markdown.join(index, *(_module(name, home) for name in modules()))


def anchor(module: str) -> str:
    """Return the anchor of a module's section."""
    return f"module-{module.replace('.', '-')}"


def _about(name: str) -> list[str]:
    text = inspect.getdoc(importlib.import_module(name)) or ""
    return [markdown.text(paragraph) for paragraph in text.split("\n\n")]


def _module(name: str, home: dict[int, str]) -> str:
    parts = [f"({anchor(name)})=\n## {name}", *_about(name)]
    if name in ELSEWHERE:
        return markdown.join(*parts, f"See {ELSEWHERE[name]}.")
    values = offered(name)
    elsewhere = {entry: home[id(value)] for entry, value in values.items() if home.get(id(value), name) != name}
    lines = [f".. py:module:: {name}", "   :no-index-entry:"]
    for entry, value in values.items():
        if entry not in elsewhere:
            lines += ["", *_directive(f"{name}.{entry}", value)]
    links = ", ".join(f"{{py:obj}}`{entry} <{where}.{entry}>`" for entry, where in elsewhere.items())
    also = f"Described elsewhere: {links}." if links else ""
    return markdown.join(*parts, also, "```{eval-rst}\n" + "\n".join(lines) + "\n```")


def _directive(name: str, value: object) -> list[str]:
    if inspect.isclass(value):
        return [f".. autoexception:: {name}" if issubclass(value, BaseException) else f".. autoclass:: {name}"]
    if inspect.isroutine(value):
        return [f".. autofunction:: {name}"]
    lines = [f".. py:data:: {name}", f"   :type: {type(value).__name__}"]
    return [*lines, f"   :value: {int(value)}"] if isinstance(value, int) else lines
