"""Proof of a policy of your own against the contract of pksm/policies/base.py."""

import pickle

from pksm.policies.base import Spec
from pksm.testing.on_flat_host import OnFlatHost
from pksm.testing.on_machine import OnMachine


def check_policy(spec: Spec, seed: int = 0, rounds: int = 60) -> None:
    """Raise AssertionError, which says what is wrong, unless a policy keeps to its contract.

    Each preset is played on a flat host and on a simulated machine, whatever happens to the memory: no merge changes
    what anybody reads or saves more than there is to save, host and policy are consistent after every step, counters
    and settings are those that the Spec names, settings can be set through sysfs, and the policy comes to rest.

    Args:
        spec: of the policy.
        seed: of what happens.
        rounds: how much happens, on each host.
    """
    _check_copy(spec)
    for preset, settings in spec.presets.items():
        assert isinstance(settings, spec.settings), f"{spec.name}:{preset}: its settings are not {spec.settings}"
        for play in (OnFlatHost, OnMachine):
            play(spec, preset, seed).run(rounds)


def _check_copy(spec: Spec) -> None:
    try:
        copy = pickle.loads(pickle.dumps(spec))
    except Exception as error:
        raise AssertionError(f"{spec.name}: its Spec does not pickle: {error}") from error
    assert copy == spec, f"{spec.name}: a copy of its Spec by pickle is another"
