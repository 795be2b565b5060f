"""Entry points of packages are found wherever Python finds packages, without loading what is slow to load in vain."""

import subprocess
import sys
import zipfile

import pytest

LOOK = """
import sys
sys.path[:0] = sys.argv[2:]
from pksm import plugins
found = plugins.are_there(sys.argv[1])
print(found, "importlib.metadata" in sys.modules)
if found:
    print(list(plugins.load(sys.argv[1], lambda name, thing: thing)))
"""
GROUP = "pksm.of_a_test"
POINTS = f"[{GROUP}]\nmine = mine:thing\n"


def look(*paths, group=GROUP, first=""):
    """Return (whether there are any, whether importlib.metadata was loaded, names of those that load)."""
    words = [sys.executable, "-I", "-c", first + LOOK, group, *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.split(maxsplit=2)


def files(form):
    """Return {name: text} of an installed package whose entry points stand in such a form."""
    about = "METADATA" if form == "dist-info" else "PKG-INFO"
    return {
        "mine.py": "thing = 1\n",
        f"mine-1.{form}/{about}": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
        f"mine-1.{form}/entry_points.txt": POINTS,
    }


@pytest.mark.parametrize("form", ["dist-info", "egg-info"])
def test_a_package_in_a_folder_is_found(tmp_path, form):
    for name, text in files(form).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert look(tmp_path) == ["True", "True", "['mine']\n"]


def test_a_package_in_an_archive_is_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name, text in files("dist-info").items():
            archive.writestr(name, text)
    assert look(tmp_path / "mine.zip") == ["True", "True", "['mine']\n"]


def test_a_package_that_a_finder_of_others_knows_is_found(tmp_path):
    (tmp_path / "mine.py").write_text("thing = 1\n")
    finder = f"""
class Finder:
    @classmethod
    def find_spec(cls, *_):
        return None
    @classmethod
    def find_distributions(cls, context=None):
        from importlib.metadata import Distribution
        class Mine(Distribution):
            def read_text(self, name):
                return {{"METADATA": "Name: mine", "entry_points.txt": {POINTS!r}}}.get(name)
            def locate_file(self, path):
                return path
        return [Mine()]
import sys
sys.meta_path.append(Finder)
"""
    assert look(tmp_path, first=finder) == ["True", "True", "['mine']\n"]


def test_where_nobody_names_the_group_nothing_is_loaded_to_look(tmp_path):
    (tmp_path / "other-1.dist-info").mkdir()
    (tmp_path / "other-1.dist-info/entry_points.txt").write_text("[console_scripts]\nother = other:main\n")
    (tmp_path / "empty-1.dist-info").mkdir()
    (tmp_path / "flat-1.egg-info").write_text("Name: flat\n")
    assert look(tmp_path, tmp_path / "missing") == ["False", "False"]
