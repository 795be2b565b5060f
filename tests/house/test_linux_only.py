"""Linux is known in linux/ alone, and every interpreter that we start is isolated."""

import ast
import re

from house.test_layering import MODULES, docstrings, room_of, tree_of, where

# A path has no blanks; a text for people, which may name one, has.
KERNEL_FILE = re.compile(r"^/(proc|sys)(/\S*)?$")


def strings_of(path):
    """The strings of a file, but for its docstrings; the parts of those with values in them one by one."""
    tree = tree_of(path)
    silent = set(docstrings(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and node not in silent:
            value = node.value
            yield node.lineno, value.decode("latin-1") if isinstance(value, bytes) else value


def test_only_linux_names_files_of_proc_and_sys():
    found = {
        room_of(path): where(path, line)
        for path in MODULES
        for line, value in strings_of(path)
        if KERNEL_FILE.match(value)
    }
    assert set(found) == {"linux"}, f"linux/ is the only one that opens /proc and /sys: {found}"


def test_text_of_the_kernel_is_never_read_as_text():
    """Carriage returns in names make lines there; splitlines() knows even more that are none."""
    wrong = []
    for path in MODULES:
        if room_of(path) != "linux":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr in ("splitlines", "readlines", "readline", "read_text"):
                wrong.append(where(path, node.lineno))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "open":
                mode = node.args[1].value if len(node.args) > 1 else "r"
                if "b" not in mode and "w" not in mode:
                    wrong.append(where(path, node.lineno))
    assert not wrong, f"bytes, split at newlines alone (see linux/text.py): {wrong}"


def test_every_interpreter_that_we_start_is_isolated():
    """Root shall run no code of the directory it happens to stand in."""
    starts = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
                assert len(node.elts) > 1 and ast.unparse(node.elts[1]) == "'-I'", where(path, node.lineno)
                starts.append(where(path, node.lineno))
            assert not isinstance(node, ast.Name) or node.id not in ("execv", "spawnv", "posix_spawn")
    uses = [
        where(path, node.lineno)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"
    ]
    named_for_people = {use for use in uses if use.startswith("pksm/cli/verbs/demo.py")}
    assert set(uses) - named_for_people == set(starts) and starts, "an interpreter is started in another way"
