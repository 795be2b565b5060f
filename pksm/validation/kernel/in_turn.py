"""Programs and workloads one after another, while the running kernel's ksmd is borrowed."""

from collections.abc import Callable, Iterable

from pksm.documents.prediction import PredictDocument
from pksm.documents.replayed import ReplayedDocument
from pksm.documents.validation import ValidateDocument
from pksm.errors import UnsupportedError
from pksm.linux.ksm.borrow import Borrowed


def in_turn(
    document: ValidateDocument | PredictDocument | ReplayedDocument,
    names: Iterable[str],
    play: Callable[[Borrowed, str], None],
) -> None:
    """Borrow ksmd, and let each of the names be played.

    Args:
        document: gets the warnings, and what this machine cannot play, with the reason.
        names: of what is played.
        play: play(ksm, name) adds its rows to the document.
    """
    with Borrowed() as ksm:
        document["warnings"] = ksm.warnings
        for name in names:
            try:
                play(ksm, name)
            except UnsupportedError as error:
                document["skipped"].append({"workload": name, "reason": str(error)})
