"""Who wants to know what merging does to the pages of a host: models of time and energy, say."""

from collections.abc import Callable
from dataclasses import dataclass

from pksm.arrays import BoolArray, Pages

Pair = Callable[[Pages, Pages], object]
One = Callable[[Pages], object]


@dataclass
class Watch:
    """What a host calls when it is done with a batch, if it is set as its `watch`. All arrays are uint32, of frames.

    Args:
        on_merge: on_merge(pages, kpages): pages[i] was merged into kpages[i].
        on_zero: on_zero(pages): the pages were merged into the zero page.
        on_cow: on_cow(old, new): somebody wrote to merged page old[i] (ZERO_FRAME: the zero page), and got new[i], which has its
            number again if nobody else mapped it.
        on_unmerge: on_unmerge(pages): frames that pages got because they were to be merged no more.
        on_drop: on_drop(pages): the policy tracks these live pages no more.

    They may look at the host, and must neither change it nor wake its policy.
    """

    on_merge: Pair | None = None
    on_zero: One | None = None
    on_cow: Pair | None = None
    on_unmerge: One | None = None
    on_drop: One | None = None

    def merged(self, pages: Pages, kpages: Pages | None, refused: BoolArray | None = None) -> None:
        """Pages were merged, but for those refused. kpages None: into the zero page."""
        if refused is not None:
            pages, kpages = pages[~refused], None if kpages is None else kpages[~refused]
        if not len(pages):
            return
        if kpages is None:
            if self.on_zero:
                self.on_zero(pages)
        elif self.on_merge:
            self.on_merge(pages, kpages)

    def copied(self, old: Pages, new: Pages) -> None:
        """Merged pages were written."""
        if self.on_cow and len(new):
            self.on_cow(old, new)

    def unmerged(self, pages: Pages) -> None:
        """Pages got frames of their own."""
        if self.on_unmerge and len(pages):
            self.on_unmerge(pages)

    def dropped(self, pages: Pages) -> None:
        """Pages are tracked no more."""
        if self.on_drop and len(pages):
            self.on_drop(pages)
