"""The arrows of the design: which file may import which, which C file may call which, and who may print.

A row names what a file stands on. It may import that, and whatever that stands on in turn. A file without a row fails:
give it one, and think about where it stands.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pksm"

POLICIES = {"pksmd", "ksmd"}
HOSTS = {"flat", "machine"}
BELOW_VERBS = POLICIES | {"simulation", "sources", "workloads", "flat", "machine"}

ARROWS = {
    # cli → anything
    "cli": {"*"},
    "__main__": {"cli"},
    "__init__": {"*"},  # only when a name is first used: test_import_budget sees to that
    # scan, compare, profiler, bench, truth → policies, simulation, sources, workloads, flat, machine
    "scan": BELOW_VERBS | {"report", "gather", "tally", "shares", "findings"},
    "gather": {"sources", "store", "memory"},
    "tally": {"host", "looks"},
    "shares": {"host"},
    "findings": {"sources", "tunables"},
    "looks": set(),
    "fingerprints": {"sources", "checksums"},
    "compare": BELOW_VERBS | {"report"},
    "profiler": BELOW_VERBS | {"report", "scan", "gather", "bench", "checksums", "store", "memory"},
    "bench": BELOW_VERBS | {"report", "yardsticks"},
    "yardsticks": {"store", "workloads", "checksums"},
    "simulate": BELOW_VERBS | {"trace"},
    "truth": BELOW_VERBS,
    "fuzz_truth": {"truth", "operations", "trace"},
    "rivals": {"bench", "ksmd", "flat", "machine", "livekernel", "liveprocess"},
    "validate": {"pair", "programs", "livekernel", "workloads"},
    "pair": {"ksmd", "machine", "livekernel", "liveprocess"},
    "programs": set(),
    "livekernel": set(),
    "liveprocess": set(),
    "testing": {"host", "pksmd"},
    # pure functions of results
    "report": {"stats", "cost", "tables"},
    "tables": {"text"},
    "text": set(),
    "bench_report": {"report", "workloads"},
    "checksum_report": {"report", "text"},
    "simulate_report": {"report"},
    "truth_report": {"report"},
    "validate_report": {"report"},
    "plot": {"pareto"},
    "pareto": set(),
    # simulation → operations (policy and host are passed in); trace → machine: what a content id can be
    "simulation": {"operations"},
    "trace": {"operations", "machine"},
    "operations": set(),
    "workloads": {"operations"},
    # pksmd, ksmd → settle, items, queues, tunables, stats, host
    "pksmd": {"settle", "items", "queues", "tunables", "stats", "host"} | {"checksums", "cost", "stable_anon", "summing"}
    | {"on_search", "published", "merging"},
    "merging": {"native", "settle", "published"},
    "on_search": {"native"},
    "ksmd": {"settle", "mappings", "ksm_tunables", "ksm_advisor", "ksm_stats", "stats", "host"} | {"checksums", "cost"},
    "published": {"native", "queues"},  # what presets of published kernels do otherwise
    # machine, flat, sources → host, store
    "flat": {"host", "store"},
    "machine": {"host", "store", "native"},
    "sources": {"host", "store"},
    # settle, items, store, checksums, machine → native → errors
    "settle": {"native"},
    "items": {"native", "memory"},
    "store": {"native", "memory"},
    "checksums": {"native", "plugins", "adaptive"},
    "plugins": {"native"},
    "adaptive": {"native"},
    "summing": {"native", "adaptive"},
    "stable_anon": {"native", "memory"},
    "queues": {"native", "memory"},
    "mappings": {"items", "native", "memory"},
    "tunables": set(),
    "ksm_tunables": {"tunables", "ksm_advisor"},
    "ksm_advisor": set(),
    "ksm_stats": set(),
    "stats": {"cost", "tunables"},
    "cost": {"native"},  # the core's own counters
    "host": set(),
    "memory": set(),
    "native": {"errors"},
    "errors": set(),
}
EVERYBODY = {"errors"}
RUN_TIME_DEPENDENCIES = {"numpy", "cffi"}

# settle.c → page_tree.c, checksum.c; page_tree.c → rbtree.c, page.c; checksum*.c → cpu.c
C_ARROWS = {
    "settle.c": {"flight.c", "page_tree.c", "checksum.c", "lists.c"},
    "flight.c": {"page_tree.c"},
    "page_tree.c": {"rbtree.c", "page.c"},
    # the kernels, and the table of those that fit the CPU, through which they are called
    "checksum.c": {"cpu.c"},
    "checksum_simd.c": {"cpu.c"},
    "checksum_simd_bytes.c": {"cpu.c"},
    "checksum_simd_words.c": {"cpu.c"},
    "checksum_simd_xxh.c": {"cpu.c"},
    "checksum_xxh.c": set(),
    "checksum_words.c": set(),
    "checksum_bytes.c": set(),
    "checksum_aes.c": {"checksum_xxh.c"},  # its secret
    "page.c": {"cpu.c"},
    "page_simd.c": {"cpu.c"},
    "cpu.c": {
        "checksum.c",
        "checksum_aes.c",
        "checksum_bytes.c",
        "checksum_words.c",
        "checksum_xxh.c",
        "checksum_simd.c",
        "checksum_simd_bytes.c",
        "checksum_simd_words.c",
        "checksum_simd_xxh.c",
        "page.c",
        "page_simd.c",
    },
    "lists.c": {"page_tree.c"},  # where items are checked
    "ksm.c": {"page_tree.c"},
    "rbtree.c": set(),
    "yardstick.c": {"rbtree.c", "checksum.c"},
    "bus.c": set(),
}
C_EVERYBODY = {"bus.c"}  # reading bytes of a file that may shrink

MODULES = sorted(PACKAGE.rglob("*.py"))


def reachable(row, rows):
    """Everything below a row, following the rows."""
    found, ahead = set(), [row]
    while ahead:
        for below in rows.get(ahead.pop(), ()):
            if below not in found:
                found.add(below)
                ahead.append(below)
    return found


def row_of(path):
    """The row of a file: its name, or that of the folder right below pksm/ that it lies in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Yield (line, dotted module) of all imports of a file, the lazy ones too, relative ones spelled out.

    A plain `import pksm` is nothing by itself, but each `pksm.name` after it counts.
    """
    package = ["pksm", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
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


def imported_rows(path):
    """Yield (line, row) of the imports of our own that leave the file's row."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "pksm" and name != "pksm.__version__":
            if parts[1] != row_of(path):
                yield line, parts[1]


def where(path, line):
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_follow_the_arrows(path):
    row = row_of(path)
    assert row in ARROWS, f"{path.relative_to(ROOT)} has no row in ARROWS: say what it stands on"
    if "*" in ARROWS[row]:
        return
    allowed = reachable(row, ARROWS) | EVERYBODY
    # The extension has a test of its own.
    below = allowed | {"_core"}
    wrong = [f"{where(path, line)} imports {name}" for line, name in imported_rows(path) if name not in below]
    assert not wrong, f"against the arrows of the design, {row} → {sorted(allowed)}: {wrong}"


def test_native_is_the_only_importer_of_the_extension():
    importers = {row_of(path) for path in MODULES for _, name in imports(path) if name.startswith("pksm._core")}
    assert importers == {"native"}


def test_policies_import_protocols_never_a_host_never_another_policy():
    for policy in POLICIES:
        assert not reachable(policy, ARROWS) & (HOSTS | POLICIES | {"simulation", "sources"}), policy
    policies = [path for path in MODULES if row_of(path) in POLICIES]
    assert policies
    wrong = [
        f"{where(path, line)} imports {row}"
        for path in policies
        for line, row in imported_rows(path)
        if row in HOSTS | POLICIES
    ]
    assert not wrong


def test_nobody_but_cli_prints():
    wrong = []
    for path in MODULES:
        if row_of(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            prints = isinstance(node, ast.Name) and node.id in ("print", "input")
            writes = isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.stdout", "sys.stderr")
            if prints or writes:
                wrong.append(where(path, node.lineno))
    assert not wrong, f"only cli/ talks to people: {wrong}"


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
    sources = sorted((ROOT / "csrc").glob("*.c"))
    assert {path.name for path in sources} <= set(C_ARROWS), "a C file has no row in C_ARROWS: say what it stands on"
    # Unoptimised: an inlined call still counts.
    subprocess.run(
        ["gcc", "-std=c11", "-O0", f"-I{PACKAGE / 'include'}", "-c", *map(str, sources)], cwd=tmp_path, check=True
    )
    home = {name: obj.stem for obj in tmp_path.glob("*.o") for name in symbols(obj, "-g", "--defined-only")}
    wrong = []
    for source in sources:
        allowed = reachable(source.name, C_ARROWS) | C_EVERYBODY
        for name in sorted(symbols(tmp_path / f"{source.stem}.o", "-u")):
            if name in home and home[name] + ".c" not in allowed:
                wrong.append(f"{source.name} uses {name} of {home[name]}.c")
    assert home and not wrong, wrong
