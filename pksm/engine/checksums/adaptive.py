"""Adaptive sampling, UKSM's idea: how many words a checksum looks at follows what that costs.

Per period, cost = ns to sum a page + futile compares a page x ns of one of them. Twice as many words are tried, then
half as many; the cheaper is kept, and the strength holds when neither is better by a twentieth.
"""

from typing import Self

import numpy as np

from pksm.arrays import IdsLike
from pksm.engine import native
from pksm.engine.state import State, column, number

BETTER = 0.95  # of the cost so far: what a change must come below to be kept


class Adaptive(native.Checksum):
    """The strategy `adaptive`: PKSM's sample, over the first `strength` of a permutation of all words of a page.

    words: the permutation; strength: words to begin with. Whoever sums with it asks next_strength() once a period and,
    when that differs, calls set_strength() and sums everything anew.
    """

    def __init__(self, words: IdsLike, strength: int) -> None:
        super().__init__("sampled", words)
        self._n_words = len(words)
        self.name = "adaptive"
        self._costs: dict[int, float] = {}  # strength -> cost, of this round of trials
        self._settled = strength  # the best so far; another strength is on trial
        self._held_at: float | None = None  # its cost when the last round of trials ended
        self.set_strength(strength)

    def state(self) -> State:
        """Return what it has learned, as a State."""
        return {
            "words": self.words,
            "strength": self.strength,
            "tried": [[strength, float(cost)] for strength, cost in self._costs.items()],
            "settled": self._settled,
            "held_at": self._held_at,
        }

    @classmethod
    def restored(cls, state: State) -> Self:
        """Return one that has learned what state() returned."""
        words = column(state["words"], np.uint32)
        self = cls(words, number(state["strength"], 1, len(words)))
        self._costs = {number(strength, 1, len(words)): float(cost) for strength, cost in state["tried"]}
        self._settled = number(state["settled"], 1, len(words))
        self._held_at = None if state["held_at"] is None else float(state["held_at"])
        return self

    @property
    def strength(self) -> int:
        """Words looked at."""
        return int(self._sample.n_words)

    def set_strength(self, strength: int) -> None:
        """Look at this many words from now on; ValueError unless a page has them, and they are one at least."""
        if not 1 <= strength <= self._n_words:
            raise ValueError(f"strength {strength}: from 1 to the {self._n_words} words of a page")
        self._sample.n_words = strength

    def next_strength(self, cost_ns: float) -> int:
        """Return the strength for the next period; cost_ns: what a page cost in this one, at the strength in use.

        While it holds, it tries again once the cost has moved by more than a twentieth.
        """
        now, best = self.strength, self._settled
        if now == best and self._held_at is not None:
            if BETTER * self._held_at <= cost_ns and BETTER * cost_ns <= self._held_at:
                return now
            self._held_at = None
            self._costs.clear()
        self._costs[now] = cost_ns
        if now != best and cost_ns < BETTER * self._costs[best]:
            best = self._settled = now
        for other in (best * 2, best // 2):
            if 1 <= other <= self._n_words and other not in self._costs:
                return other
        self._held_at = self._costs[best]
        return best
