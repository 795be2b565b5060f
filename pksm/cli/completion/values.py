"""Values that options and arguments can have, by their placeholder: PID, WORKLOAD, CHECKSUMS."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from pksm.cli import options

Values = Iterable[tuple[str, str]]  # a value, and what it is or nothing
FILES = frozenset({"FILE", "PATH", "DIRECTORY", "TARGET", "TRACE", "IMAGE"})


def is_file(placeholder: str) -> bool:
    """Return whether a placeholder stands for a path: one of FILES, or a name with an ending, such as SCRIPT.py."""
    return placeholder in FILES or (placeholder.replace(".", "", 1).isalpha() and "." in placeholder)


def policies() -> Values:
    """Return the policies."""
    from pksm.policies import registry

    return ((name, registry.spec(name).about) for name in registry.names())


def presets() -> Values:
    """Return the policies with their presets."""
    return options.policies().items()


def settings(chosen: Sequence[str] = ()) -> Values:
    """Return settings of all policies, or of those chosen: those of one, and bare ones, of all that have them."""
    from pksm.policies import registry

    wanted = {name.partition(":")[0] for name in chosen} & set(registry.names())
    names = [name for name in registry.names() if not wanted or name in wanted]
    entries = [(name, field) for name in names for field in registry.spec(name).settings.entries().values()]
    found: dict[str, str] = {}
    for prefix in (False, True):
        for name, field in entries:
            start = f"{name}.{field.name}=" if prefix else f"{field.name}="
            found.setdefault(start, field.metadata["text"])
    return found.items()


def words_of_setting(start: str) -> Values:
    """Return the words that a setting can be. start: "order=", "pksmd.order="."""
    from pksm.policies import registry

    policy, _, name = start.removesuffix("=").rpartition(".")
    for known in registry.names():
        field = registry.spec(known).settings.entries().get(name)
        if field and policy in ("", known):
            yield from ((start + word, "") for word in field.metadata["choices"] or ())
            return


def checksums() -> Values:
    """Return the checksum strategies."""
    from pksm.engine.checksums import strategies

    return ((name, strategies.describe(name, options.PAGE_SIZE)["users"] or "") for name in strategies.names())


def orders() -> Values:
    """Return the orders of trees."""
    from pksm.policies.pksmd import tunables

    return ((name, "") for name in tunables.SETTINGS["order"].metadata["choices"])


def workloads() -> Values:
    """Return the workloads of simulations."""
    from pksm.simulation.workloads import WORKLOADS

    return WORKLOADS.items()


def loads() -> Values:
    """Return the static loads."""
    from pksm.simulation.workloads import LOADS

    return LOADS.items()


def recorded() -> Values:
    """Return the workloads that were recorded in kernels."""
    from pksm.simulation.workloads import RECORDED

    return ((name, one.text) for name, one in RECORDED.items())


def validation() -> Values:
    """Return the workloads that are compared with the running kernel."""
    from pksm.validation.kernel.validate import WORKLOADS

    return ((name, one.text) for name, one in WORKLOADS.items())


def pids() -> Iterator[tuple[str, str]]:
    """Yield the processes that can be read, by id, with their names."""
    from pksm.errors import PksmError
    from pksm.linux.proc import processes, tasks

    for pid in processes.all_pids():
        try:
            yield str(pid), tasks.read_stat(pid).command
        except (OSError, PksmError):
            continue  # ended meanwhile


def cgroups(start: str) -> Iterator[tuple[str, str]]:
    """Yield the control groups right below the one that `start` begins with."""
    from pksm.linux.proc import processes

    above = start.rpartition("/")[0]
    yield from ((f"{above}/{name}/", "") for name in processes.cgroups_below(above))


# What `pksm completion --values` prints.
KINDS: dict[str, Callable[[], Values]] = {
    "policy": policies,
    "preset": presets,
    "setting": settings,
    "checksum": checksums,
    "workload": workloads,
    "load": loads,
    "recorded": recorded,
    "validation": validation,
    "pid": pids,
}
BY_PLACEHOLDER: dict[str, Callable[[], Values]] = {
    "NAME[:PRESET]": presets,
    "POLICY": policies,
    "CHECKSUM": checksums,
    "CHECKSUMS": checksums,
    "ORDER": orders,
    "ORDERS": orders,
    "WORKLOAD": workloads,
    "LOAD": loads,
    "W": recorded,
    "WORKLOADS": validation,
    "PID": pids,
}
