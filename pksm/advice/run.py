"""Advising: memory is read once, counted, and simulated under several settings of ksmd."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, cast

from pksm.advice import looks, now, reach, tuning, verdict
from pksm.advice.facts import Facts, facts_of
from pksm.advice.settings import Settings
from pksm.advice.trials import present, trials
from pksm.arrays import Pages
from pksm.documents import AdviseDocument, ScanDocument
from pksm.documents.advise import ParetoRow
from pksm.documents.common import PriceList
from pksm.errors import PksmError, UsageError
from pksm.linux import memory_facts
from pksm.scan.gather import Gathered
from pksm.scan.interrupts import Interrupts
from pksm.scan.run import Guard, scan
from pksm.scan.settings import PAGE_SIZE
from pksm.scan.settings import Settings as ScanSettings
from pksm.simulation import parts
from pksm.simulation.prices import prices_here
from pksm.sources.base import Source

SCHEMA: Final = "pksm.advise/1"
Progress = Callable[[str, int, int | None], None]


def advise(
    sources: Iterable[Source],
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    errors: Sequence[PksmError] = (),
    interrupts: Interrupts | None = None,
    reading: Guard | None = None,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> AdviseDocument:
    """Say whether KSM is worth it for the memory of some sources, with which settings, and at what price.

    Args:
        sources: opened sources, as a scan takes them; the caller closes them.
        settings: what counts as worth it.
        progress: called as progress(stage, done, total): the stages of a scan, then `simulate` with runs.
        errors: those of sources that could not be opened.
        interrupts: may end the reading early.
        reading: held while sources are read.
        hold: makes context managers that hold interrupts back for the length of a step of the simulations.

    Returns:
        The document `pksm.advise/1`, ready for JSON.

    Raises:
        UsageError: for what can't be meant.
        PksmError: the first source's own error when none is left.
    """
    settings, sources = settings or Settings(), list(sources)
    interrupts = interrupts or Interrupts()
    found: list[Facts] = []
    shown = progress or _silent

    def take(gathered: Gathered, contents: Pages) -> None:
        size = settings.page_size or next((one.page_size for one in sources if one.page_size), None) or PAGE_SIZE
        found.append(facts_of(gathered, contents, size, settings.tenants))

    scan_settings = ScanSettings(page_size=settings.page_size, threads=settings.threads, top=0)
    scanned = scan(sources, scan_settings, shown, errors=errors, interrupts=interrupts, reading=reading, take=take)
    if interrupts.seen:
        raise KeyboardInterrupt
    return _document(sources, scanned, found[0], settings, shown, hold)


def _silent(stage: str, done: int, total: int | None) -> None:
    """Report to nobody."""


def _document(
    sources: Sequence[Source],
    scanned: ScanDocument,
    facts: Facts,
    settings: Settings,
    progress: Progress,
    hold: Callable[[], AbstractContextManager[object]],
) -> AdviseDocument:
    names = [source["name"] for source in scanned["sources"]]
    is_live = any("pid" in source for source in scanned["sources"])
    resident = scanned["totals"]["pages"] * scanned["page_size"]
    memory = (memory_facts.memory_bytes() if is_live else None) or resident
    decided = verdict.verdict_of(facts, names, memory, settings)
    prices, rows, interrupted = None, list[ParetoRow](), False
    warnings, ksm = list(scanned["warnings"]), now.ksm_now() if is_live else None
    if decided["kind"] != "not worth it":
        prices = prices_here()
        chosen = facts.memory if decided["kind"] != "only some" else facts.memory.only(decided["names"])
        chosen = parts.within(chosen, settings.within)
        here = present(chosen, settings, ksm["settings"]) if ksm and ksm["runs"] else None
        if ksm and ksm["runs"] and here is None:
            warnings.append("KSM's present settings are not simulated: out of range, or far too slow for so many pages")
        try:
            rows = trials(chosen, settings, prices, lambda done, total: progress("simulate", done, total), hold, here)
        except KeyboardInterrupt:
            interrupted = True
    if ksm:
        ksm["left_bytes"] = _left(rows)
    risk = verdict.risk_of(facts)
    if settings.again_seconds is not None:
        seen = looks.volatile(sources, settings.again_seconds, scanned["page_size"])
        if seen is None:
            raise UsageError("there is no live process to look at again", "again_seconds")
        risk["volatile"] = seen
    return {
        "schema": SCHEMA,
        "page_size": scanned["page_size"],
        "sources": names,
        "pages": scanned["totals"]["pages"],
        "now": ksm,
        "verdict": decided,
        "kinds": verdict.kinds_of(facts),
        "if_all": facts.if_all,
        "opted_in": facts.opted_in,
        "within": facts.within,
        "tenants": facts.tenants,
        "why_not_more": reach.why_not_more(scanned),
        "settings": tuning.settings_for(
            _saving(facts), decided, settings, rows, memory_facts.nodes(), memory_facts.makes_huge_pages()
        ),
        "pareto": rows,
        "simulated_within": settings.within,
        "period_ms": settings.period_ms,
        "prices": cast(PriceList, prices.as_dict()) if prices else None,
        "risk": risk,
        "compressing": facts.compressing,
        "partial": scanned["partial"],
        "interrupted": interrupted,
        "warnings": warnings,
    }


def _saving(facts: Facts) -> tuning.Saving:
    zero_bytes = facts.zero_frames * facts.memory.page_size
    return tuning.Saving(zero_bytes, facts.if_all["frames_saved"] * facts.memory.page_size, facts.largest_group)


def _left(rows: Sequence[ParetoRow]) -> int | None:
    """Return the bytes that the present settings never merge, and the best of others do."""
    here = next((row["saved_bytes"] for row in rows if row["present"]), None)
    return None if here is None else max(row["saved_bytes"] for row in rows) - here
