"""A host that refuses some of its pages for good."""

import numpy as np

from hosts.broken import Classy
from pksm.protocols import BUSY_PAGE


class Choosy(Classy):
    """Never merges some of its pages: not broken, if it is said which."""

    never = (1, 9, 10, 17, 30)

    def _part(self, pages):
        refused = np.isin(pages, self.never)
        self.classes[pages[refused]] = BUSY_PAGE
        return refused

    def merge(self, pages, kpages):
        refused = self._part(pages)
        super().merge(pages[~refused], kpages[~refused])
        return refused

    def merge_zero(self, pages):
        refused = self._part(pages)
        super().merge_zero(pages[~refused])
        return refused


def refuses(pages):
    """What a Choosy host says."""
    return np.isin(pages, Choosy.never)
