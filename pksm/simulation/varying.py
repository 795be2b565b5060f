"""What a sweep varies: settings of policies and their values, as texts, and every combination of them."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pksm.engine.settings import parse_value
from pksm.errors import UsageError
from pksm.policies.registry import Choice, choose

MOST_VALUES = 1000
_RANGE = re.compile(r"([0-9]{1,18}):([0-9]{1,18})(?::(log|lin)([0-9]{1,9}))?")
Varied = Mapping[str, Mapping[str, Sequence[Any]]]  # {policy: {setting: values}}


def parse(texts: Sequence[str], choices: Sequence[Choice]) -> dict[str, dict[str, list[Any]]]:
    """Return {policy: {setting: values}} of texts.

    Args:
        texts: "ksmd.pages_to_scan=100,1000", "ksmd.pages_to_scan=100:20000:log8" (so many values, each a like multiple
            of the one before), "=100:500:lin5" (at even distances) or "=100:500" (every whole number). The policy may
            be left out if there is only one.
        choices: the policies.

    Raises:
        UsageError: no such policy or setting, or values that are none of it.
    """
    varied: dict[str, dict[str, list[Any]]] = {choice.spec.name: {} for choice in choices}
    for text in texts:
        name, equals, values = text.partition("=")
        policy, _, setting = name.rpartition(".")
        if not equals or not values:
            raise UsageError(f"{text!r}: write NAME=VALUES, as in ksmd.pages_to_scan=100,1000", "vary")
        choice = _whose(text, policy, setting, choices)
        if setting in varied[choice.spec.name]:
            raise UsageError(f"{text!r}: {setting} varies already: give all its values at once", "vary")
        varied[choice.spec.name][setting] = _values(text, setting, values, choice)
    return varied


def check_apart(varied: Varied, changes: Mapping[str, Any] | Iterable[str]) -> None:
    """Raise UsageError if a setting varies and has a value of its own, too."""
    names = {name.partition("=")[0] for name in changes}
    for policy, values in varied.items():
        for setting in values:
            if names & {setting, f"{policy}.{setting}"}:
                raise UsageError(f"{setting} of {policy} varies: give it no value besides", "vary")


def _whose(text: str, policy: str, setting: str, choices: Sequence[Choice]) -> Choice:
    names = list(dict.fromkeys(choice.spec.name for choice in choices))
    if not policy and len(names) > 1:
        raise UsageError(f"{text!r}: say whose setting it is, of {', '.join(names)}: {names[0]}.{text}", "vary")
    found = [choice for choice in choices if choice.spec.name == (policy or names[0])]
    if not found:
        raise UsageError(f"{text!r}: policy {policy!r} is not among those chosen: {', '.join(names)}", "vary")
    known = found[0].settings.entries()
    if setting not in known:
        but = f"but {', '.join(known)}" if known else "nor any other"
        raise UsageError(f"{text!r}: {found[0].spec.name} has no setting {setting!r}, {but}", "vary")
    return found[0]


def _values(text: str, setting: str, values: str, choice: Choice) -> list[Any]:
    entry = choice.settings.entries()[setting]
    if ":" in values and isinstance(entry.default, int):
        found: list[Any] = list(_range(text, values))
    elif isinstance(entry.default, frozenset):
        found = [parse_value(setting, part.replace("+", ","), entry) for part in values.split(",")]
    else:
        found = [parse_value(setting, part, entry) for part in values.split(",")]
    return list(dict.fromkeys(found))


def _range(text: str, values: str) -> list[int]:
    """Return whole numbers from a range FIRST:LAST, FIRST:LAST:logN or FIRST:LAST:linN."""
    found = _RANGE.fullmatch(values)
    if not found:
        raise UsageError(f"{text!r}: a range is FIRST:LAST, FIRST:LAST:log8 or FIRST:LAST:lin8", "vary")
    low, high, kind = int(found[1]), int(found[2]), found[3]
    n = int(found[4]) if kind else high - low + 1
    if not low <= high or not (2 if kind else 1) <= n <= MOST_VALUES or (kind == "log" and not low):
        raise UsageError(
            f"{text!r}: a range goes up, from 1 if it is log, and has {MOST_VALUES} values at most", "vary"
        )
    if kind == "log":
        return [round(low * math.exp(math.log(high / low) * place / (n - 1))) for place in range(n)]
    return [round(low + (high - low) * place / max(1, n - 1)) for place in range(n)]


def combinations(choices: Sequence[Choice], varied: Varied) -> list[Choice]:
    """Return the choices with every combination of the values that vary.

    A combination that the policy itself refuses, such as max_page_sharing=1, is a UsageError.
    """
    found = []
    for choice in choices:
        settings = varied.get(choice.spec.name, {})
        for values in itertools.product(*settings.values()):
            found.append(_changed(choice, dict(zip(settings, values, strict=True))))
    return found


def _changed(choice: Choice, changes: Mapping[str, Any]) -> Choice:
    return Choice(choice.spec, choice.preset, choice.settings.with_(**changes), choice.seed)


def kernel_advisor(choices: Sequence[Choice]) -> list[Choice]:
    """Return what the kernel's own advisor does, for each of these choices that is ksmd: it sets pages_to_scan."""
    found = []
    for choice in choices:
        known = choice.settings.entries()
        if choice.spec.name != "ksmd" or "advisor_mode" not in known:
            continue
        if getattr(choice.settings, "advisor_mode", "") == "none":
            found.append(_changed(choice, {"advisor_mode": "scan-time"}))
    return found


def chosen(policies: str | Sequence[str], changes: Mapping[str, Any] | Sequence[str], seed: int) -> list[Choice]:
    """Return the policies that a sweep begins with. UsageError if one of them comes twice."""
    choices = choose(policies, changes, seed)
    names = [choice.spec.name for choice in choices]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"policy {twice[0]} comes twice: vary its settings, or sweep twice", "policy")
    return choices
