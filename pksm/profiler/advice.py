"""Which strategy to take, in one sentence: the least CPU to rest of those that missed no merge."""

from operator import itemgetter

ALIKE = 1.05  # within this factor, others take as much


def recommend(rows):
    """Return {strategy, sentence} for the rows of one subject; strategy None when all missed something."""
    fit = sorted((row for row in rows if not _missed(row)), key=itemgetter("cpu_ns_to_rest"))
    if not fit:
        least = min(rows, key=_missed)
        return {
            "strategy": None,
            "sentence": f"None of these: every one missed merges, {least['name']} the fewest ({_missed(least):,}).",
        }
    best = fit[0]
    alike = [row["name"] for row in fit[1:] if row["cpu_ns_to_rest"] < ALIKE * best["cpu_ns_to_rest"]]
    of_them = "the only one" if len(fit) == 1 else f"the least of the {len(fit)}"
    sentence = f"{best['name']}: {best['cpu_ns_to_rest']:.0f} ns of CPU a page to rest, {of_them} that missed no merge"
    if alike:
        sentence += f" ({', '.join(alike)} within {100 * (ALIKE - 1):.0f} %)"
    cheaper = [row for row in rows if _missed(row) and row["cpu_ns_to_rest"] < best["cpu_ns_to_rest"]]
    if cheaper:
        tempting = min(cheaper, key=itemgetter("cpu_ns_to_rest"))
        sentence += (
            f"; {tempting['name']} takes {tempting['cpu_ns_to_rest']:.0f} ns, but missed {_missed(tempting):,} of "
            f"{tempting['merges'] + tempting['missed_merges'] + tempting['changes']:,} merges"
        )
    return {"strategy": best["name"], "sentence": sentence + "."}


def _missed(row):
    return row["missed_merges"] + row["missed_after_change"]
