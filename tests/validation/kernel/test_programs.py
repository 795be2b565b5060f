"""Programs that are started to be measured: one that is missing, or does not start, is one line."""

import pytest

from pksm.errors import PksmError, UnsupportedError
from pksm.validation.kernel import loads, programs


def test_a_program_that_is_missing_is_named(tmp_path):
    with pytest.raises(UnsupportedError, match="^redis-server: not installed$"):
        programs.installed("redis-server", str(tmp_path))


def test_a_program_that_does_not_start_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "START_SECONDS", 0.0)
    programs.wait_for(str(tmp_path), "redis-server")
    with pytest.raises(PksmError, match="^redis-server: did not start within 0 s$"):
        programs.wait_for(str(tmp_path / "socket"), "redis-server")


def test_a_program_that_fails_is_named(tmp_path, monkeypatch):
    """redis-benchmark, initdb and pgbench fill what is measured."""
    for name in ("redis-server", "redis-benchmark"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + ("touch $4; exec sleep 60\n" if name == "redis-server" else "exit 3\n"))
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(PksmError, match="^redis-benchmark: failed with exit code 3$"), loads.redis():
        pass
