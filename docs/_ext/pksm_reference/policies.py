"""The settings, presets and counters of each policy, from its Spec."""

from typing import Any

from pksm.policies import registry
from pksm_reference import markdown


def page() -> str:
    """Return a section for each policy."""
    return markdown.join(*(_policy(registry.spec(name)) for name in registry.names()))


def _policy(spec: Any) -> str:
    about = f"{markdown.text(spec.about[:1].upper() + spec.about[1:])}."
    parts = [f"(policy-{spec.name})=\n## {spec.name}", about]
    entries = spec.settings.entries()
    if entries:
        parts += [f"### Settings of {spec.name}", _settings(spec, entries)]
        marks = [("moving", "the policy changes this setting itself"), ("fixed", "can't change once a policy is made")]
        parts += [f"*{mark}*: {text}." for mark, text in marks if getattr(spec, mark)]
    if len(spec.presets) > 1:
        parts += [f"### Presets of {spec.name}", _presets(spec, entries)]
    if spec.counters:
        parts += [f"### Counters of {spec.name}", _counters(spec)]
    return markdown.join(*parts)


def _settings(spec: Any, entries: dict[str, Any]) -> str:
    default = spec.presets[spec.default].as_dict()
    rows = []
    for name, entry in entries.items():
        marks = [f"*{mark}*" for mark in ("moving", "fixed") if name in getattr(spec, mark)]
        meaning = "; ".join([markdown.text(entry.metadata["text"]), *marks])
        rows.append((markdown.code(name), _value(default[name]), _range(entry.metadata), meaning))
    return markdown.table(("setting", f"in {spec.default}", "range", "unit and meaning"), rows)


def _range(metadata: Any) -> str:
    if metadata["choices"]:
        return ", ".join(map(markdown.code, metadata["choices"]))
    return "" if metadata["low"] is None else f"{metadata['low']:,} to {metadata['high']:,}"


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(markdown.code, value)) or "none"
    return f"{value:,}" if type(value) is int else markdown.code(str(value))


def _presets(spec: Any, entries: dict[str, Any]) -> str:
    """Return the settings in which presets differ: a row for each preset."""
    values = {name: preset.as_dict() for name, preset in spec.presets.items()}
    differing = [name for name in entries if len({str(row[name]) for row in values.values()}) > 1]
    parts = []
    for name, row in values.items():
        mark = " (the default)" if name == spec.default else ""
        told = "; ".join(f"{markdown.code(key)} {_value(row[key])}" for key in differing)
        parts.append(f"{markdown.code(name)}{mark}\n: {told}")
    return "\n\n".join(parts)


def _counters(spec: Any) -> str:
    rows = [
        (markdown.code(name), markdown.text(meaning), "work" if name in spec.work else "")
        for name, meaning in spec.counters.items()
    ]
    table = markdown.table(("counter", "meaning", ""), rows)
    note = "*work*: counts work done, and so never comes to rest." if spec.work else ""
    return markdown.join(table, note)
