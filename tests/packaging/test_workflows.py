"""Workflows: every action has a version, and what they call is there."""

import re

import pytest

from support import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_have_versions_and_targets_exist(path):
    text = path.read_text(encoding="utf-8")
    actions = re.findall(r"uses: (\S+)", text)
    assert actions and all(re.search(r"@v\d", action) for action in actions), actions
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= TARGETS
    assert re.search(r"^permissions:\n  contents: read$", text, re.M), "no more rights than a job needs"
