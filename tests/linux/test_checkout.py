"""The commit that a measurement names is the checkout's own, or none."""

import subprocess

import pytest

from pksm.linux import checkout


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    monkeypatch.setattr(checkout, "CHECKOUT", tmp_path)
    return tmp_path


def test_a_clean_checkout_is_its_commit_and_a_changed_one_says_so(repository):
    clean = checkout.commit()
    assert len(clean) == 12 and int(clean, 16) >= 0
    (repository / "new").write_text("of nobody")
    assert checkout.commit() == clean
    (repository / "file").write_text("two")
    assert checkout.commit() == f"{clean}-dirty"


def test_a_repository_around_an_installed_package_is_not_its_own(repository, monkeypatch):
    (repository / "site-packages").mkdir()
    monkeypatch.setattr(checkout, "CHECKOUT", repository / "site-packages")
    assert checkout.commit() is None


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert checkout.commit() is None
