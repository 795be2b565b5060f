"""The documents of prices and predictions beside the running kernel, pksm.calibrate/1 and pksm.predict/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Count, Pages, PriceList, Seconds
from pksm.documents.validation import ValidateSkipped


class CalibrateSample(TypedDict):
    """Work that was measured."""

    subject: Annotated[str, "", "what was scanned"]
    pages_visited: Annotated[Pages, "visited"]
    cpu_ns: Annotated[float, "ns of CPU", "that the kernel's ksmd took, the median of the runs"]
    predicted_ns: Annotated[float, "ns of CPU", "by the prices"]


class CalibrateDocument(TypedDict):
    """The price list of this machine: what `pksm validate --calibrate` prints."""

    schema: Literal["pksm.calibrate/1"]
    prices: PriceList
    path: Annotated[str, "", "of the file that keeps them"]
    samples: list[CalibrateSample]


class Pair(TypedDict):
    """A figure on both sides."""

    kernel: Annotated[float, "", "the median of the kernel's runs"]
    ours: Annotated[float, "", "as simulated beforehand"]


class PredictRun(TypedDict):
    """One run of the kernel's ksmd."""

    saved: Annotated[Pages, "saved at the end"]
    reached_50_s: Annotated[Seconds, "until half of them were saved"]
    reached_90_s: Annotated[Seconds, "until 90 % of them were saved"]
    seconds: Annotated[Seconds, "that the run took"]
    cpu_s: Annotated[Seconds, "of CPU time of ksmd"]
    cpu_s_ours: Annotated[Seconds, "of CPU time that we expect for as many pages scanned"]
    saved_by_scanned: Annotated[
        float, "part", "of the pages saved: the most that ours differ at the same pages_scanned"
    ]


class PredictRow(TypedDict):
    """A program under settings."""

    workload: Annotated[str, "", "the program"]
    setting: Annotated[str, "", "the name of the settings"]
    settings: Annotated[dict[str, int], "", "by their names in the kernel"]
    pages: Annotated[Pages, "of the program"]
    saved: Annotated[Pair, "pages", "saved at the end"]
    reached_50_s: Annotated[Pair, "s", "until half of them were saved"]
    reached_90_s: Annotated[Pair, "s", "until 90 % of them were saved"]
    cpu_s: Annotated[Pair, "s", "of CPU time of ksmd"]
    saved_by_scanned: Annotated[float, "part", "of the pages saved: the most that ours differ, the median of the runs"]
    every_run: list[PredictRun]


class PredictDocument(TypedDict):
    """Predictions beside the running kernel: what `pksm.validation.predict` returns."""

    schema: Literal["pksm.predict/1"]
    kernel: Annotated[str, "", "release"]
    prices: PriceList
    runs: Annotated[Count, "of the kernel for each row"]
    skipped: list[ValidateSkipped]
    rows: list[PredictRow]
    warnings: Annotated[list[str], "", "one line each"]
