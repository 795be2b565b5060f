"""Merging in a scan: what it leaves behind."""

import gc
import weakref

import pytest

from pksm.scan import Settings, run, scan
from pksm.scan import merge as merging

from support.memory_sources import GivenSource, data


@pytest.mark.parametrize("policy", ["pksmd:fixed", "pksmd:v0.2", "ksmd:ksm-6.11", "uksm:uksm-0.1.2", "cksm:cksm-4.14"])
def test_tables_are_gone_before_counting(monkeypatch, policy):
    """Without a collection of garbage, which takes longer than a small scan."""
    made, find = merging._made, run.find
    policies, left = [], []

    def noted(*given):
        one = made(*given)
        policies.append(weakref.ref(one))
        return one

    def counted(*given):
        left.extend(policy for policy in policies if policy() is not None)
        return find(*given)

    monkeypatch.setattr(merging, "_made", noted)
    monkeypatch.setattr(run, "find", counted)
    gc.disable()
    try:
        scan([GivenSource("one", data(bytes(512), b"x" * 512, b"x" * 512))], Settings(policy=policy, page_size=512))
    finally:
        gc.enable()
    assert policies and not left
