"""Policies by name: ours, those of entry points of the group `pksm.policies`, and those registered."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pksm import plugins
from pksm.engine.settings import Settings, parse_value, preset_of
from pksm.errors import UsageError
from pksm.naming import nearest, unknown
from pksm.policies.base import Policy, Spec

ENTRY_POINTS = "pksm.policies"
_OURS = {  # where each SPEC is: it is loaded when it is asked for
    "pksmd": "pksm.policies.pksmd.spec",
    "ksmd": "pksm.policies.ksmd.spec",
    "uksm": "pksm.policies.uksm.spec",
    "cksm": "pksm.policies.cksm.spec",
    "nobody": "pksm.policies.nobody",
}
_registered: dict[str, Spec] = {}

Changes = Mapping[str, Any] | Iterable[str]


@dataclass(frozen=True)
class Choice:
    """A policy, a preset of it, and what settings they come to. Data: it pickles.

    Args:
        spec: of the policy.
        preset: its name.
        settings: the preset with changes.
        seed: of what is random in the policy.
    """

    spec: Spec
    preset: str
    settings: Settings
    seed: int = 0

    @property
    def name(self) -> str:
        """Its name as it can be chosen again: "ksmd:ksm-6.11", or "nobody", which has one preset alone."""
        return f"{self.spec.name}:{self.preset}" if len(self.spec.presets) > 1 else self.spec.name

    def make(self, host: Any) -> Policy:
        """Return the policy, attached to a host."""
        return self.spec.make(host, self.settings, self.seed)


def names() -> list[str]:
    """Return the names of all policies: ours, then those of others."""
    return list(_known())


def spec(name: str) -> Spec:
    """Return the Spec of a policy. UsageError that lists them if there is none."""
    if name in _OURS:
        return _ours(name)
    known = _known()
    if name not in known:
        raise unknown("unknown policy", name, known, more=", as in ksmd:ksm-6.11,pksmd:fixed")
    return known[name]


def register(spec: Spec) -> None:
    """Make a policy of your own known, in place of an earlier one of that name. UsageError if its name is ours."""
    if spec.name in _OURS:
        raise UsageError(f"policy {spec.name}: that is the name of one of pksm's own")
    _registered[spec.name] = spec


def make(policy: str, host: Any, changes: Changes = (), seed: int = 0) -> Policy:
    """Return a policy attached to a host: make("ksmd:ksm-6.11", host, {"pages_to_scan": 200}).

    Args:
        policy: "NAME" or "NAME:PRESET".
        host: whose memory it is.
        changes: {name: value} of settings that differ from the preset's, or texts "name=value".
        seed: of what is random in the policy.

    Raises:
        UsageError: there is no such policy, preset or setting, or a value is out of range.
    """
    return choose_one(policy, changes, seed).make(host)


def choose_one(policy: str, changes: Changes = (), seed: int = 0) -> Choice:
    """Return the Choice that make() makes a policy of."""
    chosen = choose(policy, changes, seed)
    if len(chosen) != 1:
        raise UsageError(f"policy {policy!r}: name one policy")
    return chosen[0]


def choose(policies: str | Sequence[str], changes: Changes = (), seed: int = 0) -> list[Choice]:
    """Return a Choice for each of "ksmd:ksm-6.11,pksmd:fixed", or of a list of such texts.

    Args:
        policies: "NAME" or "NAME:PRESET", several of them separated by commas.
        changes: {name: value} or texts "name=value". A bare name means all the policies that have this setting;
            "ksmd.pages_to_scan" that of one policy, whatever the bare name says.
        seed: of what is random in the policies.

    Raises:
        UsageError: there is no such policy or preset, no chosen policy has a setting, or a value is out of range.
    """
    texts = [policies] if isinstance(policies, str) else policies
    parts = [part.partition(":") for text in texts for part in text.split(",")]
    specs = [spec(name) for name, _, _ in parts]
    wanted = _settings_of(specs, changes)
    chosen = []
    for one, (_, _, preset) in zip(specs, parts, strict=True):
        preset = preset or one.default
        settings = preset_of(one.presets, preset).with_(**wanted[one.name])
        chosen.append(Choice(one, preset, settings, seed))
    return chosen


def _settings_of(specs: Sequence[Spec], changes: Changes) -> dict[str, dict[str, Any]]:
    """Return {policy: {setting: value}}."""
    bare: dict[str, dict[str, Any]] = {one.name: {} for one in specs}
    own: dict[str, dict[str, Any]] = {one.name: {} for one in specs}
    for name, value in _pairs(changes):
        policy, dot, setting = name.rpartition(".")
        homes = [one for one in specs if setting in one.settings.entries() and (not dot or one.name == policy)]
        if not homes or value is _NO_VALUE:
            raise _no_setting(specs, name, policy)
        for home in homes:
            entry = home.settings.entries()[setting]
            parsed = parse_value(setting, value.text, entry) if isinstance(value, _Text) else value
            (own if dot else bare)[home.name][setting] = parsed
    return {one.name: bare[one.name] | own[one.name] for one in specs}


@dataclass(frozen=True)
class _Text:
    """A value that is still text: what it comes to depends on the setting."""

    text: str


_NO_VALUE = object()


def _pairs(changes: Changes) -> Iterable[tuple[str, Any]]:
    if isinstance(changes, Mapping):
        yield from changes.items()
        return
    for change in changes:
        name, equals, text = change.partition("=")
        yield name, _Text(text) if equals else _NO_VALUE


def _no_setting(specs: Sequence[Spec], name: str, policy: str) -> UsageError:
    """Return the error for a setting that no chosen policy has."""
    chosen = ", ".join(one.name for one in specs)
    homes = [one for one in specs if one.name == policy] if policy else specs
    if not homes:
        return UsageError(f"setting {name!r}: policy {policy!r} is not among those chosen: {chosen}")
    known = dict.fromkeys(setting for one in homes for setting in one.settings.entries())
    if not known:
        return UsageError(f"setting {name!r}: {chosen} has no settings")
    if name not in known and (near := nearest(name, known)):
        return UsageError(f"setting {name!r}: did you mean {' or '.join(near)}?")
    return UsageError(f"setting {name!r}: write name=value, with a name of {', '.join(known)}")


def _known() -> dict[str, Spec]:
    return {**{name: _ours(name) for name in _OURS}, **_from_entry_points(), **_registered}


def _ours(name: str) -> Spec:
    found: Spec = importlib.import_module(_OURS[name]).SPEC
    return found


@cache
def _from_entry_points() -> dict[str, Spec]:
    return plugins.load(ENTRY_POINTS, _loaded)


def _loaded(name: str, thing: Any) -> Spec:
    if not isinstance(thing, Spec):
        raise TypeError(f"it must be a pksm.policies.Spec, not {type(thing).__name__}")
    if thing.name != name:
        raise ValueError(f"its Spec has another name: {thing.name}")
    if name in _OURS:
        raise ValueError("that is the name of one of pksm's own")
    return thing
