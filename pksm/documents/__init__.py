"""The JSON documents of pksm, as types: what scan(), simulate() and the others return and `--json` prints.

Each document names its schema and its version in `schema`: "pksm.scan/1". A field is `Annotated` with its unit and what
it is, so that programs can read both. Counts of pages are integers, sizes are bytes, times are seconds if their names do
not say otherwise.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.documents.advise import AdviceNow as AdviceNow
    from pksm.documents.advise import Advised as Advised
    from pksm.documents.advise import AdviseDocument as AdviseDocument
    from pksm.documents.advise import Compressing as Compressing
    from pksm.documents.advise import Kind as Kind
    from pksm.documents.advise import ParetoRow as ParetoRow
    from pksm.documents.advise import Risk as Risk
    from pksm.documents.advise import Unreachable as Unreachable
    from pksm.documents.advise import Verdict as Verdict
    from pksm.documents.advise import Volatile as Volatile
    from pksm.documents.apply import AppliedSetting as AppliedSetting
    from pksm.documents.apply import ApplyDocument as ApplyDocument
    from pksm.documents.bench import BenchDiffDocument as BenchDiffDocument
    from pksm.documents.bench import BenchDiffRow as BenchDiffRow
    from pksm.documents.bench import BenchDiffSide as BenchDiffSide
    from pksm.documents.bench import BenchDocument as BenchDocument
    from pksm.documents.bench import BenchRow as BenchRow
    from pksm.documents.bench import Interference as Interference
    from pksm.documents.checksum import ChecksumListDocument as ChecksumListDocument
    from pksm.documents.checksum import ChecksumSumDocument as ChecksumSumDocument
    from pksm.documents.checksum import Missed as Missed
    from pksm.documents.checksum import ProfileDocument as ProfileDocument
    from pksm.documents.checksum import ProfileSubject as ProfileSubject
    from pksm.documents.checksum import Recommendation as Recommendation
    from pksm.documents.checksum import StrategyAbout as StrategyAbout
    from pksm.documents.checksum import StrategyRow as StrategyRow
    from pksm.documents.checksum import Timing as Timing
    from pksm.documents.common import MachineFacts as MachineFacts
    from pksm.documents.common import PriceList as PriceList
    from pksm.documents.common import StepTime as StepTime
    from pksm.documents.common import Work as Work
    from pksm.documents.compare import CompareDocument as CompareDocument
    from pksm.documents.compare import Tried as Tried
    from pksm.documents.compare import Tuning as Tuning
    from pksm.documents.features import FeaturesDocument as FeaturesDocument
    from pksm.documents.features import MachineAbilities as MachineAbilities
    from pksm.documents.features import Named as Named
    from pksm.documents.features import NamesDocument as NamesDocument
    from pksm.documents.fingerprint import FingerprintDocument as FingerprintDocument
    from pksm.documents.fingerprint import FingerprintedSource as FingerprintedSource
    from pksm.documents.fleet import FleetBase as FleetBase
    from pksm.documents.fleet import FleetDocument as FleetDocument
    from pksm.documents.fleet import FleetEstimate as FleetEstimate
    from pksm.documents.fleet import FleetGroup as FleetGroup
    from pksm.documents.fleet import FleetGrowth as FleetGrowth
    from pksm.documents.fleet import FleetHeavy as FleetHeavy
    from pksm.documents.fleet import FleetHost as FleetHost
    from pksm.documents.fleet import FleetOverlap as FleetOverlap
    from pksm.documents.fleet import FleetPartition as FleetPartition
    from pksm.documents.fleet import FleetPlacement as FleetPlacement
    from pksm.documents.fleet import FleetPlan as FleetPlan
    from pksm.documents.fleet import FleetTogether as FleetTogether
    from pksm.documents.opt_in import OptedProcess as OptedProcess
    from pksm.documents.opt_in import OptedRange as OptedRange
    from pksm.documents.opt_in import OptInDocument as OptInDocument
    from pksm.documents.prediction import CalibrateDocument as CalibrateDocument
    from pksm.documents.prediction import CalibrateSample as CalibrateSample
    from pksm.documents.prediction import Pair as Pair
    from pksm.documents.prediction import PredictDocument as PredictDocument
    from pksm.documents.prediction import PredictRow as PredictRow
    from pksm.documents.prediction import PredictRun as PredictRun
    from pksm.documents.record import Equals as Equals
    from pksm.documents.record import RecordDocument as RecordDocument
    from pksm.documents.record import RecordedSpace as RecordedSpace
    from pksm.documents.record_plan import PlannedProcess as PlannedProcess
    from pksm.documents.record_plan import RecordPlanDocument as RecordPlanDocument
    from pksm.documents.replayed import ReplayedDocument as ReplayedDocument
    from pksm.documents.replayed import ReplayedMiss as ReplayedMiss
    from pksm.documents.replayed import ReplayedRow as ReplayedRow
    from pksm.documents.replayed import ReplayedRun as ReplayedRun
    from pksm.documents.replayed import ReplayedSide as ReplayedSide
    from pksm.documents.scan import Family as Family
    from pksm.documents.scan import FirstBytes as FirstBytes
    from pksm.documents.scan import Group as Group
    from pksm.documents.scan import KsmAnswer as KsmAnswer
    from pksm.documents.scan import KsmProcess as KsmProcess
    from pksm.documents.scan import MappingRow as MappingRow
    from pksm.documents.scan import Place as Place
    from pksm.documents.scan import ScanCost as ScanCost
    from pksm.documents.scan import ScanDocument as ScanDocument
    from pksm.documents.scan import ScanSaving as ScanSaving
    from pksm.documents.scan import ScanTotals as ScanTotals
    from pksm.documents.scan import SourcePages as SourcePages
    from pksm.documents.scan import SourceRow as SourceRow
    from pksm.documents.scan import UnderKsm as UnderKsm
    from pksm.documents.scan import Unread as Unread
    from pksm.documents.scan import WithinRow as WithinRow
    from pksm.documents.simulate import Cpu as Cpu
    from pksm.documents.simulate import Final as Final
    from pksm.documents.simulate import Merges as Merges
    from pksm.documents.simulate import Reading as Reading
    from pksm.documents.simulate import Replay as Replay
    from pksm.documents.simulate import Run as Run
    from pksm.documents.simulate import Series as Series
    from pksm.documents.simulate import SimulateDocument as SimulateDocument
    from pksm.documents.snapshots import Snapshot as Snapshot
    from pksm.documents.snapshots import SnapshotBase as SnapshotBase
    from pksm.documents.snapshots import SnapshotsDocument as SnapshotsDocument
    from pksm.documents.sweep import Spread as Spread
    from pksm.documents.sweep import SweepDocument as SweepDocument
    from pksm.documents.sweep import SweepRow as SweepRow
    from pksm.documents.validation import TruthDocument as TruthDocument
    from pksm.documents.validation import TruthRow as TruthRow
    from pksm.documents.validation import ValidateDocument as ValidateDocument
    from pksm.documents.validation import ValidateRow as ValidateRow
    from pksm.documents.validation import ValidateSkipped as ValidateSkipped
    from pksm.documents.validation import ValidateWorkload as ValidateWorkload
    from pksm.documents.watch import WatchDocument as WatchDocument
    from pksm.documents.watch import WatchedProcess as WatchedProcess
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "AdviceNow": "pksm.documents.advise",
            "AdviseDocument": "pksm.documents.advise",
            "Advised": "pksm.documents.advise",
            "BenchDiffDocument": "pksm.documents.bench",
            "BenchDiffRow": "pksm.documents.bench",
            "BenchDiffSide": "pksm.documents.bench",
            "BenchDocument": "pksm.documents.bench",
            "BenchRow": "pksm.documents.bench",
            "CalibrateDocument": "pksm.documents.prediction",
            "CalibrateSample": "pksm.documents.prediction",
            "ChecksumListDocument": "pksm.documents.checksum",
            "ChecksumSumDocument": "pksm.documents.checksum",
            "CompareDocument": "pksm.documents.compare",
            "Compressing": "pksm.documents.advise",
            "Cpu": "pksm.documents.simulate",
            "Family": "pksm.documents.scan",
            "FeaturesDocument": "pksm.documents.features",
            "Final": "pksm.documents.simulate",
            "FirstBytes": "pksm.documents.scan",
            "FingerprintDocument": "pksm.documents.fingerprint",
            "FingerprintedSource": "pksm.documents.fingerprint",
            "FleetBase": "pksm.documents.fleet",
            "FleetDocument": "pksm.documents.fleet",
            "FleetGroup": "pksm.documents.fleet",
            "FleetGrowth": "pksm.documents.fleet",
            "FleetHeavy": "pksm.documents.fleet",
            "FleetHost": "pksm.documents.fleet",
            "FleetOverlap": "pksm.documents.fleet",
            "FleetPartition": "pksm.documents.fleet",
            "FleetPlacement": "pksm.documents.fleet",
            "FleetPlan": "pksm.documents.fleet",
            "FleetTogether": "pksm.documents.fleet",
            "FleetEstimate": "pksm.documents.fleet",
            "Group": "pksm.documents.scan",
            "Interference": "pksm.documents.bench",
            "Kind": "pksm.documents.advise",
            "KsmAnswer": "pksm.documents.scan",
            "KsmProcess": "pksm.documents.scan",
            "MachineAbilities": "pksm.documents.features",
            "MachineFacts": "pksm.documents.common",
            "MappingRow": "pksm.documents.scan",
            "Merges": "pksm.documents.simulate",
            "Missed": "pksm.documents.checksum",
            "Named": "pksm.documents.features",
            "NamesDocument": "pksm.documents.features",
            "AppliedSetting": "pksm.documents.apply",
            "ApplyDocument": "pksm.documents.apply",
            "OptedProcess": "pksm.documents.opt_in",
            "OptedRange": "pksm.documents.opt_in",
            "OptInDocument": "pksm.documents.opt_in",
            "ParetoRow": "pksm.documents.advise",
            "Place": "pksm.documents.scan",
            "PlannedProcess": "pksm.documents.record_plan",
            "Pair": "pksm.documents.prediction",
            "PredictDocument": "pksm.documents.prediction",
            "PredictRow": "pksm.documents.prediction",
            "PredictRun": "pksm.documents.prediction",
            "PriceList": "pksm.documents.common",
            "ProfileDocument": "pksm.documents.checksum",
            "ProfileSubject": "pksm.documents.checksum",
            "Reading": "pksm.documents.simulate",
            "Recommendation": "pksm.documents.checksum",
            "RecordDocument": "pksm.documents.record",
            "RecordPlanDocument": "pksm.documents.record_plan",
            "Equals": "pksm.documents.record",
            "RecordedSpace": "pksm.documents.record",
            "Replay": "pksm.documents.simulate",
            "ReplayedDocument": "pksm.documents.replayed",
            "ReplayedMiss": "pksm.documents.replayed",
            "ReplayedRow": "pksm.documents.replayed",
            "ReplayedRun": "pksm.documents.replayed",
            "ReplayedSide": "pksm.documents.replayed",
            "Risk": "pksm.documents.advise",
            "Run": "pksm.documents.simulate",
            "ScanCost": "pksm.documents.scan",
            "ScanDocument": "pksm.documents.scan",
            "ScanSaving": "pksm.documents.scan",
            "ScanTotals": "pksm.documents.scan",
            "Series": "pksm.documents.simulate",
            "SimulateDocument": "pksm.documents.simulate",
            "Snapshot": "pksm.documents.snapshots",
            "SnapshotBase": "pksm.documents.snapshots",
            "SnapshotsDocument": "pksm.documents.snapshots",
            "SourcePages": "pksm.documents.scan",
            "SourceRow": "pksm.documents.scan",
            "Spread": "pksm.documents.sweep",
            "StepTime": "pksm.documents.common",
            "StrategyAbout": "pksm.documents.checksum",
            "StrategyRow": "pksm.documents.checksum",
            "SweepDocument": "pksm.documents.sweep",
            "SweepRow": "pksm.documents.sweep",
            "Timing": "pksm.documents.checksum",
            "Tried": "pksm.documents.compare",
            "TruthDocument": "pksm.documents.validation",
            "TruthRow": "pksm.documents.validation",
            "Tuning": "pksm.documents.compare",
            "UnderKsm": "pksm.documents.scan",
            "Unreachable": "pksm.documents.advise",
            "Unread": "pksm.documents.scan",
            "ValidateDocument": "pksm.documents.validation",
            "ValidateRow": "pksm.documents.validation",
            "ValidateSkipped": "pksm.documents.validation",
            "ValidateWorkload": "pksm.documents.validation",
            "Verdict": "pksm.documents.advise",
            "Volatile": "pksm.documents.advise",
            "WatchDocument": "pksm.documents.watch",
            "WatchedProcess": "pksm.documents.watch",
            "WithinRow": "pksm.documents.scan",
            "Work": "pksm.documents.common",
        },
    )
