"""What users may build on: the names of each public module, their annotations and docstrings."""

import importlib
import inspect
import subprocess
import sys
import typing
from pkgutil import iter_modules

import pytest

# What this table does not name may move without notice.
MODULES = {
    "pksm": [
        *("Store", "FlatHost", "Machine", "Simulation", "Pksmd", "Ksmd", "preset", "Plugin", "Watch"),
        *("get_include", "get_sources", "catch_bus_errors"),
        *("PksmError", "UsageError", "UnsupportedError", "BusError"),
        # modules
        *(
            "advice",
            "bench",
            "checkpoints",
            "checksums",
            "documents",
            "errors",
            "extents",
            "fleet",
            "linux",
            "policies",
            "profiler",
            "protocols",
            "recording",
        ),
        *("report", "scan", "simulation", "sources", "testing", "validation"),
    ],
    "pksm.scan": ["scan", "Settings", "Interrupts"],
    "pksm.sources": [
        *("open_target", "open_pid", "run_command", "opened", "formats", "Source", "Region", "Mapping"),
        "Sandbox",
        *("Allocation", "OpenFile"),  # what readers of others are given
    ],
    "pksm.extents": ["State", "RUN", "make_runs", "data_runs"],
    "pksm.simulation": [
        *("simulate", "Settings", "Simulation", "Event", "Observer", "Reading", "compare", "compare_at_cpu", "sweep"),
        *("OPERATIONS", "read_trace", "load_script", "workloads"),
        *("from_sources", "within", "RealMemory", "RecordedWrites"),
    ],
    "pksm.policies": [
        *("names", "spec", "choose", "make", "register", "Spec"),
        *("Policy", "Daemon", "Settings", "setting", "Pace", "Cost"),  # what policies of others are made of
    ],
    "pksm.protocols": [
        *("PageHost", "MappingHost", "Policy", "BaseHost", "Saved", "NO_FRAME", "ZERO_FRAME"),
        *("FREE", "BUSY_PAGE", "WALK_FAILS", "NOT_KPAGE", "NOT_ANON", "WALK_BREAKS", "WALK_LOSES", "MLOCKED"),
        *("VmaHost", "Vmas"),
    ],
    "pksm.checkpoints": ["load", "save"],
    "pksm.recording": ["Recording", "Writer", "Block", "Kind", "repair"],
    "pksm.checksums": ["names", "describe", "make", "register", "unregister", "Plugin", "is_exact"],
    "pksm.bench": ["bench", "diff"],
    "pksm.advice": ["advise", "advise_recording", "Settings"],
    "pksm.fleet": [
        *("fleet", "Settings", "place", "Fleet", "tree_fleet", "tree_vm", "tree_contents"),
        *("shared", "decay", "built_base", "best_snapshot", "restored_pages", "compare_snapshots"),
    ],
    "pksm.profiler": ["profile"],
    "pksm.validation": ["validate", "truth", "calibrate", "predict", "replayed"],
    "pksm.report": ["table", "csv", "html", "picture", "caption"],
    "pksm.linux.ksm": ["read", "write", "Borrowed"],
    "pksm.testing": ["check_host", "check_policy", "check_source"],
}
# Beside these, the rows that they are made of.
DOCUMENTS = {
    *("ScanDocument", "SimulateDocument", "BenchDocument", "BenchDiffDocument", "ProfileDocument"),
    "SweepDocument",
    *("TruthDocument", "ValidateDocument", "FeaturesDocument", "AdviseDocument"),
}


@pytest.mark.parametrize("module", MODULES)
def test_a_public_module_hands_on_what_the_table_says(module):
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == sorted(MODULES[module])
    assert set(loaded.__all__) <= set(dir(loaded)), "completion in notebooks goes by dir()"
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None


@pytest.mark.parametrize("module", MODULES)
def test_names_come_in_by_a_star(module):
    names = {}
    exec(f"from {module} import *", names)
    assert set(MODULES[module]) <= set(names)


def test_every_document_has_a_type():
    documents = importlib.import_module("pksm.documents")
    assert set(documents.__all__) >= DOCUMENTS and len(set(documents.__all__)) == len(documents.__all__)
    assert all(typing.is_typeddict(getattr(documents, name)) for name in documents.__all__)
    modules = [importlib.import_module(f"pksm.documents.{module.name}") for module in iter_modules(documents.__path__)]
    ours = {name: kind for module in modules for name, kind in vars(module).items() if typing.is_typeddict(kind)}
    assert {name for name, kind in ours.items() if "schema" in typing.get_type_hints(kind)} <= set(documents.__all__)


def test_an_unknown_name_is_an_attribute_error():
    import pksm

    with pytest.raises(AttributeError, match="module 'pksm' has no attribute 'nothing'"):
        pksm.nothing


def test_pksm_by_itself_loads_no_numpy():
    code = "import sys, pksm; dir(pksm), pksm.__version__, pksm.PksmError; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def functions_of(module):
    """(name, function or class) of all that a public module offers, the methods and properties of classes as well."""
    for name in MODULES[module]:
        thing = getattr(importlib.import_module(module), name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield name, thing
        if not inspect.isclass(thing):
            continue
        for member in dir(thing):
            value = inspect.getattr_static(thing, member)
            value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            ours = inspect.isfunction(value) and value.__module__.startswith("pksm.")
            written = ours and value.__code__.co_filename.endswith(".py")  # not by @dataclass or NamedTuple
            if written and (member == "__init__" or not member.startswith("_")):
                yield f"{name}.{member}", value


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_are_annotated(module):
    missing = []
    for name, thing in functions_of(module):
        if inspect.isfunction(thing):
            needed = {*inspect.signature(thing).parameters, "return"} - {"self", "cls"}
            missing += [f"{name}: {argument}" for argument in sorted(needed - set(thing.__annotations__))]
    assert not missing, f"without annotation: {missing}"


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_have_docstrings(module):
    silent = [
        name
        for name, thing in functions_of(module)
        if not name.endswith("__init__") and not (inspect.getdoc(thing) or "").strip()
    ]
    assert not silent, f"without docstring: {silent}"
