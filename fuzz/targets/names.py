"""Names with a grammar: policies with presets, settings, checksums with options."""

from fuzz.target import Target
from pksm.engine.checksums import strategies
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.policies import registry

PAGE = 512


def choose_policies(data: bytes) -> None:
    """Choose policies by a line, with changes by the lines behind it; what is chosen can be chosen again and made."""
    policies, *changes = data.decode("utf-8", "surrogateescape").split("\0")
    for choice in registry.choose(policies, changes):
        assert registry.choose_one(choice.name).preset == choice.preset
        choice.make(FlatHost(Store(PAGE)))


def choose_checksum(data: bytes) -> None:
    """Make a checksum by its name, and sum a page."""
    name = data.decode("utf-8", "surrogateescape")
    try:
        strategies.make(name, PAGE)
    except UsageError:
        return
    described = strategies.describe(name, PAGE)
    assert described["name"] == name and 0 < described["width"] <= 64
    strategies.is_exact(name)


def policies() -> list[bytes]:
    """Make names that are right."""
    return [b"pksmd:fixed,ksmd:ksm-6.11\0pages_to_scan=200\0ksmd.smart_scan=0", b"nobody", b"pksmd\0quirks=split-vma"]


def checksums() -> list[bytes]:
    """Make names that are right."""
    return [
        *(name.encode() for name in strategies.names()),
        b"sampled:words=128:order=sorted:seed=7",
        b"partial:bytes=64:at=8",
    ]


WORDS = [b":", b",", b"=", b".", b"\0", b"words=", b"order=sorted", b"seed=", b"bytes=", b"at=", b"9" * 41, b"-1", b"\n",
         b"sampled-lines", b"adaptive", b"quirks=", b"run=", b"\xd9\xa3", b"\xc2\xb2"]  # fmt: skip

TARGETS = {
    "policies": Target(choose_policies, policies, WORDS, 256),
    "checksums": Target(choose_checksum, checksums, WORDS, 128),
}
