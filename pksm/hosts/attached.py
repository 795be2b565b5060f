"""The policy that a host reports its pages to."""

from pksm.errors import UsageError
from pksm.protocols import Policy


class NoPolicy(Policy):
    """In place of a policy, until one is attached."""


def require_alone(attached: Policy, policy: Policy) -> None:
    """Raise UsageError if a host's pages are merged already, and not by this policy, which would take over silently."""
    # one that only listens need not derive from protocols.Policy
    if policy is not attached and getattr(attached, "merges", False) and getattr(policy, "merges", False):
        raise UsageError(
            f"a {type(attached).__name__} merges the pages of this host already: make another host for the "
            f"{type(policy).__name__}, or detach() the first"
        )
