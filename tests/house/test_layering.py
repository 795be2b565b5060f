"""The arrows of the house: which room may import which, which C file may call which, and who may print.

A row names what a room stands on, directly: nothing is inherited from below. An arrow that no import uses is struck out.
"""

import ast
import re
import subprocess
import sys

import pytest

from support import ROOT

PACKAGE = ROOT / "pksm"

# The rooms, and the vocabulary that they share. What EVERYBODY may import has no room of its own, because rooms that
# do not see one another take it: `plain` is for advice, cli and report, `naming` for what has names from engine to cli.
ROOMS = {
    "engine": {"saving"},
    "hosts": {"engine", "protocols", "saving"},
    "policies": {"engine", "protocols", "saving"},
    "linux": {"extents"},
    "sources": {"linux", "extents", "arrow"},
    "recording": {"sources", "linux", "engine", "extents", "documents", "arrow"},
    "parallel": {"linux"},
    "fleet": {"parallel", "scan", "sources", "linux", "extents", "documents"},
    "scan": {"sources", "linux", "hosts", "policies", "engine", "protocols", "extents", "documents"},
    # Real memory is a workload, too: it is read and told apart as in a scan.
    "simulation": {
        "parallel",
        "recording",
        "scan",
        "sources",
        "hosts",
        "policies",
        "engine",
        "linux",
        "protocols",
        "documents",
        "saving",
    },
    "checkpoints": {"simulation", "hosts", "policies", "engine", "linux"},
    "bench": {
        *("simulation", "hosts", "policies", "engine", "linux", "protocols", "documents", "validation"),
        *("scan", "sources"),  # memory of a file to measure with
    },
    "profiler": {"simulation", "scan", "sources", "bench", "hosts", "policies", "engine", "linux", "documents"},
    "validation": {"simulation", "recording", "sources", "hosts", "policies", "engine", "linux", "documents"},
    "advice": {
        "recording",
        "scan",
        "simulation",
        "parallel",
        "sources",
        "policies",
        "engine",
        "linux",
        "protocols",
        "extents",
        "documents",
    },
    "report": {"documents"},
    "cli": {"*"},
    "__main__": {"cli"},
    "__init__": {"*"},  # names handed on, loaded when they are first used
    "checksums": {"engine"},  # the public name of engine.checksums
    "testing": {"policies", "hosts", "sources", "engine", "protocols", "extents"},
    "protocols": {"engine"},
    "extents": set(),
    "documents": set(),
    "embedding": set(),
    "errors": set(),
    "naming": set(),
    "plain": set(),
    "arrow": set(),
    "lazy": set(),
    "arrays": set(),
    "plugins": set(),
    "saving": {"checkpoints"},  # methods that look for the format when they are called
}
EVERYBODY = {"errors", "naming", "lazy", "arrays", "plain", "plugins"}
POLICIES = sorted(path for path in (PACKAGE / "policies").iterdir() if path.is_dir() and path.name != "__pycache__")
RUN_TIME_DEPENDENCIES = {"numpy", "cffi"}
EXTENSION = "pksm.engine.native._core"

# Names as in csrc/. What a file calls or reads of another, directly.
C_ARROWS = {
    "arguments.c": set(),
    "bus.c": set(),
    "library.c": set(),
    "cpu.c": set(),
    "rbtree.c": set(),
    "page.c": {"arguments.c", "bus.c"},
    "page_simd.c": {"page.c"},
    "checksum/xxh.c": set(),
    "checksum/words.c": set(),
    "checksum/bytes.c": set(),
    "checksum/siphash.c": set(),
    "checksum/xxh_simd.c": {"checksum/xxh.c"},
    "checksum/xxh3_simd.c": {"checksum/xxh.c", "page.c"},
    "checksum/words_simd.c": {"checksum/words.c"},
    "checksum/bytes_simd.c": {"checksum/bytes.c", "page.c"},
    "checksum/aes.c": {"checksum/xxh.c"},  # its secret
    "checksum/table.c": {
        "arguments.c",
        "bus.c",
        "cpu.c",
        "checksum/xxh.c",
        "checksum/words.c",
        "checksum/bytes.c",
        "checksum/xxh_simd.c",
        "checksum/xxh3_simd.c",
        "checksum/words_simd.c",
        "checksum/bytes_simd.c",
        "checksum/aes.c",
    },
    "dispatch.c": {"cpu.c", "page.c", "page_simd.c", "checksum/table.c"},
    "page_tree.c": {"arguments.c", "bus.c", "page.c", "rbtree.c"},
    "flight.c": {"page.c", "page_tree.c", "rbtree.c"},
    "lists.c": {"arguments.c", "page_tree.c"},
    "ksm_nodes.c": {"arguments.c", "page_tree.c", "rbtree.c"},
    "ksm_meet.c": {"arguments.c"},
    "ksm.c": {
        "arguments.c",
        "bus.c",
        "checksum/table.c",
        "flight.c",
        "ksm_nodes.c",
        "lists.c",
        "page.c",
        "page_tree.c",
    },
    "buckets.c": {"arguments.c"},
    "cksm.c": {"arguments.c", "buckets.c", "bus.c", "checksum/table.c", "page.c"},
    "rules.c": {"page.c"},
    "ahead.c": {"arguments.c", "bus.c", "checksum/table.c"},
    "stages.c": {"flight.c", "page.c", "page_tree.c"},
    "settle.c": {"ahead.c", "arguments.c", "bus.c", "checksum/table.c", "flight.c", "lists.c", "stages.c"},
    "uksm.c": {"arguments.c", "buckets.c", "bus.c", "page.c", "uksm_trees.c", "uksm_window.c"},
    "uksm_trees.c": {"buckets.c"},
    "uksm_window.c": {"checksum/table.c", "uksm_trees.c"},
    "uksm_wakes.c": {"bus.c", "uksm.c"},
    "yardstick.c": {"arguments.c", "bus.c", "checksum/table.c", "rbtree.c"},
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    """The room of a file: the folder right below pksm/ that it lies in, or its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path):
    """Yield (line, dotted module) of all imports of a file, the lazy ones too, relative ones spelled out.

    A plain `import pksm` is nothing by itself, but each `pksm.name` after it counts.
    """
    package = ["pksm", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name != "pksm")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pksm":
            yield node.lineno, f"pksm.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from pksm import store` imports a module, `from pksm.store import Store` a name of one.
                yield node.lineno, f"{module}.{alias.name}" if module == "pksm" else module


def rooms_imported(path):
    """Yield (line, room) of the imports of our own that leave the file's room."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "pksm" and name != "pksm.__version__" and parts[1] != room_of(path):
            yield line, parts[1]


def where(path, line):
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_follow_the_arrows(path):
    room = room_of(path)
    assert room in ROOMS, f"{path.relative_to(ROOT)} is in no room of ROOMS: say what it stands on"
    if "*" in ROOMS[room]:
        return
    allowed = ROOMS[room] | EVERYBODY
    wrong = [f"{where(path, line)} imports {name}" for line, name in rooms_imported(path) if name not in allowed]
    assert not wrong, f"against the arrows of the house, {room} → {sorted(allowed)}: {wrong}"


def test_every_arrow_is_used():
    used = {(room_of(path), room) for path in MODULES for _, room in rooms_imported(path)}
    declared = {(room, below) for room, row in ROOMS.items() for below in row if below != "*"}
    assert declared - used == set(), "arrows that no import uses: strike them out of ROOMS"
    present = {room_of(path) for path in MODULES}
    assert set(ROOMS) - present == set(), "rooms that there are not"


def test_only_native_touches_the_extension():
    native = PACKAGE / "engine" / "native"
    importers = {
        path.relative_to(PACKAGE).as_posix() for path in MODULES for _, name in imports(path) if name == EXTENSION
    }
    assert importers == {"engine/native/door.py"}
    wrong = []
    for path in MODULES:
        if path.is_relative_to(native):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ("native.ffi", "native.lib"):
                wrong.append(where(path, node.lineno))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pksm.engine.native"):
                wrong += [where(path, node.lineno) for alias in node.names if alias.name in ("ffi", "lib")]
    assert not wrong, f"only engine/native speaks to C: {wrong}"


def test_no_policy_imports_another():
    wrong = []
    for policy in POLICIES:
        others = {f"pksm.policies.{other.name}" for other in POLICIES} - {f"pksm.policies.{policy.name}"}
        for path in policy.rglob("*.py"):
            for line, name in imports(path):
                if any(name == other or name.startswith(f"{other}.") for other in others):
                    wrong.append(f"{where(path, line)} imports {name}")
    assert len(POLICIES) > 1 and not wrong


def test_nobody_but_cli_prints():
    wrong = []
    for path in MODULES:
        if room_of(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(tree_of(path)):
            prints = isinstance(node, ast.Name) and node.id in ("print", "input")
            writes = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")
            if prints or writes:
                wrong.append(where(path, node.lineno))
    assert not wrong, f"only cli/ talks to people: {wrong}"


def docstrings(tree):
    """The nodes that are docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


# They start programs, with options of theirs.
STARTERS = [PACKAGE / "validation" / "kernel" / name for name in ("loads.py", "programs.py")]


def test_only_cli_speaks_of_options():
    option, wrong = re.compile(r"(?<![\w-])--[a-z]"), []
    for path in MODULES:
        if room_of(path) in ("cli", "__main__") or path in STARTERS:
            continue
        tree = tree_of(path)
        silent = set(docstrings(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
                if option.search(node.value):
                    wrong.append(f"{where(path, node.lineno)}: {node.value!r}")
    assert not wrong, f"a library knows arguments, the command line makes options of them: {wrong}"


def test_an_init_only_hands_names_on():
    wrong = []
    for path in MODULES:
        if path.name != "__init__.py":
            continue
        body = tree_of(path).body
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # the docstring
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                body += [*node.body, *node.orelse]
                continue
            if isinstance(node, ast.Assign) and set(re.findall(r"\w+", ast.unparse(node.targets[0]))) <= {
                "__getattr__",
                "__dir__",
                "__all__",
                "__version__",
            }:
                continue
            wrong.append(where(path, node.lineno))
    assert not wrong, f"an __init__ holds nothing but names handed on: {wrong}"


def test_run_time_dependencies_are_numpy_and_cffi():
    known = sys.stdlib_module_names | RUN_TIME_DEPENDENCIES | {"pksm"}
    wrong = [
        f"{where(path, line)} imports {name}"
        for path in MODULES
        for line, name in imports(path)
        if name.split(".")[0] not in known
    ]
    assert not wrong


def symbols(obj, *options):
    """Names that an object file defines or needs, as nm says."""
    output = subprocess.run(["nm", "-P", *options, str(obj)], check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in output.splitlines()}


def test_c_files_call_along_the_arrows(tmp_path):
    csrc = ROOT / "csrc"
    sources = {path.relative_to(csrc).as_posix(): path for path in sorted(csrc.rglob("*.c"))}
    assert set(sources) == set(C_ARROWS), "each C file has a row in C_ARROWS: say what it stands on"
    objects = {}
    for name, path in sources.items():
        objects[name] = tmp_path / name.replace("/", "_").replace(".c", ".o")
        # Unoptimised: an inlined call still counts.
        command = ["gcc", "-std=c11", "-O0", f"-I{csrc / 'include'}", "-c", str(path), "-o", str(objects[name])]
        subprocess.run(command, check=True)
    home = {symbol: name for name, obj in objects.items() for symbol in symbols(obj, "-g", "--defined-only")}
    used = {
        name: {home[symbol] for symbol in symbols(obj, "-u") if symbol in home} - {name}
        for name, obj in objects.items()
    }
    assert used == C_ARROWS


def test_c_files_stand_in_no_circle():
    standing = set()
    while above := C_ARROWS.keys() - standing:
        ready = {name for name in above if C_ARROWS[name] <= standing}
        assert ready, f"these stand on each other: {sorted(above)}"
        standing |= ready
