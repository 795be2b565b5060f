"""A fresh virtual environment with a plug-in for pksm that pip has installed."""

import os
import shutil
import site
import subprocess
import sys


def with_plugin(plugin, directory):
    """Return the interpreter of an environment in the directory that has what this one has, and the plug-in."""
    env = directory / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    [packages] = (env / "lib").glob("python*/site-packages")
    shared = "".join(f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages())
    (packages / "shared.pth").write_text(shared)
    source = shutil.copytree(plugin, directory / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    interpreter = str(env / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, *offline, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return interpreter


def output(python, directory, *arguments):
    """Run that interpreter in a directory, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, *arguments], cwd=directory, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout
