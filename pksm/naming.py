"""Names that nothing has: the error that lists those there are, the nearest first."""

from collections.abc import Iterable

from pksm.errors import UsageError

FEW = 16  # names that are all listed in any case
SHOWN = 8  # of more
MEANT = 3
LONGEST = 64  # of a name that may have been mistyped


def unknown(
    what: str,
    name: str,
    known: Iterable[str],
    argument: str | None = None,
    more: str = "",
    has_list: bool = False,
) -> UsageError:
    """Return the error for a name that nothing has.

    Args:
        what: what it should have been the name of, such as "unknown policy".
        name: as it was given.
        known: the names that there are.
        argument: as UsageError takes it.
        more: said behind a whole list.
        has_list: they can be listed in another way, so that of many only some are named.
    """
    known = list(known)
    near = nearest(name, known)
    meant = f"did you mean {' or '.join(near)}?" if near else ""
    leaves_out = has_list and len(known) > FEW
    if leaves_out:
        message = meant or f"choose from {', '.join(known[:SHOWN])} and {len(known) - SHOWN} more"
    else:
        message = f"{meant} choose from {', '.join(known)}{more}".lstrip()
    error = UsageError(f"{what} {name!r}: {message}", argument)
    error.leaves_out = leaves_out
    return error


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that may have been meant, the likeliest first; upper and lower case count as one."""
    import difflib  # only where something is wrong

    wanted, folded = name.casefold(), {one.casefold(): one for one in known}
    if len(wanted) > LONGEST:
        return []
    close = difflib.get_close_matches(wanted, folded, MEANT)
    longer = sorted((one for one in folded if len(wanted) > 1 and wanted in one), key=len)
    return [folded[one] for one in dict.fromkeys([*close, *longer])][:MEANT]
