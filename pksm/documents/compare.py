"""The document of a comparison at one share of a CPU, pksm.compare/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Milliseconds, PriceList
from pksm.documents.sweep import SweepRow


class Tried(TypedDict):
    """A value of the setting that was turned, and what came of it."""

    value: Annotated[int, "", "of the setting"]
    cpu_percent: Annotated[float | None, "percent", "of one core, the median over the seeds"]
    mean_saved_bytes: Annotated[float | None, "bytes", "saved on average over virtual time"]


class Tuning(TypedDict):
    """How a policy came to its settings."""

    setting: Annotated[str | None, "", "that was turned; null: the policy names none"]
    value: Annotated[int | None, "", "that was chosen"]
    outcome: Annotated[
        Literal["at", "enough", "below", "above", "fixed"],
        "",
        "at: it takes the CPU time asked for; enough: with more it saves no more; below, above: no value of the setting "
        "takes as much, as little; fixed: nothing was turned",
    ]
    tried: Annotated[list[Tried], "", "in order of the value"]


class CompareDocument(TypedDict):
    """Policies on the same memory, each tuned to the same CPU time: what `pksm.simulation.compare_at_cpu` returns."""

    schema: Literal["pksm.compare/1"]
    workload: Annotated[str, "", "its name, the path of a trace or a recording, or the sources of real memory"]
    page_size: Annotated[Bytes, "of a page"]
    until_ms: Annotated[Milliseconds, "that every run lasts"]
    seeds: Annotated[list[int], "", "of what is random"]
    target_percent: Annotated[float, "percent", "of one core that each policy is to take"]
    prices: PriceList
    best_bytes: Annotated[float | None, "bytes", "that the best policy saves at the end, the median over the seeds"]
    interrupted: Annotated[bool, "", "whether it was ended early"]
    warnings: Annotated[list[str], "", "one line each"]
    unlike: Annotated[list[str], "", "what is not like for like, a sentence each"]
    rows: Annotated[list[SweepRow], "", "of each policy, with the settings that were chosen"]
    tuning: Annotated[list[Tuning], "", "of each row"]
