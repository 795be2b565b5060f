"""The JSON documents of pksm, as types: what scan(), simulate() and the others return and `--json` prints.

Each document names its schema and its version in `schema`: "pksm.scan/1". A field is `Annotated` with its unit and what
it is, so that programs can read both. Counts of pages are integers, sizes are bytes, times are seconds if their names do
not say otherwise.
"""

from pksm.documents.bench import BenchDocument, BenchRow
from pksm.documents.checksum import (
    ChecksumListDocument,
    ChecksumSumDocument,
    Missed,
    ProfileDocument,
    ProfileSubject,
    Recommendation,
    StrategyAbout,
    StrategyRow,
    Timing,
)
from pksm.documents.common import MachineFacts, StepTime, Work
from pksm.documents.features import FeaturesDocument, MachineAbilities, Named, NamesDocument
from pksm.documents.scan import (
    Family,
    FirstBytes,
    Group,
    MappingRow,
    Place,
    ScanCost,
    ScanDocument,
    ScanSaving,
    ScanTotals,
    SourcePages,
    SourceRow,
    Unread,
)
from pksm.documents.simulate import Final, Merges, Reading, Run, Series, SimulateDocument
from pksm.documents.validation import (
    TruthDocument,
    TruthRow,
    ValidateDocument,
    ValidateRow,
    ValidateSkipped,
    ValidateWorkload,
)

__all__ = [
    "BenchDocument",
    "BenchRow",
    "ChecksumListDocument",
    "ChecksumSumDocument",
    "Family",
    "FeaturesDocument",
    "Final",
    "FirstBytes",
    "Group",
    "MachineAbilities",
    "MachineFacts",
    "MappingRow",
    "Merges",
    "Missed",
    "Named",
    "NamesDocument",
    "Place",
    "ProfileDocument",
    "ProfileSubject",
    "Reading",
    "Recommendation",
    "Run",
    "ScanCost",
    "ScanDocument",
    "ScanSaving",
    "ScanTotals",
    "Series",
    "SimulateDocument",
    "SourcePages",
    "SourceRow",
    "StepTime",
    "StrategyAbout",
    "StrategyRow",
    "Timing",
    "TruthDocument",
    "TruthRow",
    "Unread",
    "ValidateDocument",
    "ValidateRow",
    "ValidateSkipped",
    "ValidateWorkload",
    "Work",
]
