"""The strength of the hash: how many words of a page it looks at. It follows what the hashes are worth.

A hash is worth the words that it spares; compares and full hashes that lead nowhere cost. While that balance is good the
strength goes down, else up; now and then it looks for the best point on both sides.
"""

from __future__ import annotations

STILL, TRYDOWN, TRYUP, NEW, PRE_STILL = range(5)
UP, DOWN, OBSCURE, STAY = range(4)
MOST_STEP = 5  # a change is 2 to the power of this at most
WINDOW, MOST_BELOW = 5, 3
PROBE = 10  # full scan of 256 in which both sides are probed


class Strength:
    """The machine that steers the strength. most: the highest; words: the strength now."""

    def __init__(self, words: int, most: int) -> None:
        self.words, self.most = words, most
        self.state, self.step, self.before = NEW, 0, STAY
        self.zeros = self.obscure = self.below = self.window = 0
        self.stable_benefit = 0
        self.best_down = self.best_up = self.turn_down = self.turn_up = self.stable_point = 0

    def adjust(self, positive: int, negative: int, scanned: int, full_scans: int) -> int:
        """Return the strength from now on, given what hashes were worth and cost since the last time, if any were made."""
        if not scanned:
            return self.words
        benefit = (positive - negative) // scanned if positive > negative else 0
        if self.state in (NEW, PRE_STILL):
            self.stable_benefit, self.state = benefit, STILL
            return self.words
        direction = self._direction(positive, negative, benefit, full_scans)
        if self.state == STILL and direction == OBSCURE:
            self._probe(benefit)
        elif self.state == STILL:
            self._still(direction)
        elif self.state == TRYDOWN:
            self._down(direction, benefit)
        else:
            self._up(direction, benefit)
        return self.words

    def _direction(self, positive: int, negative: int, benefit: int, full_scans: int) -> int:
        if full_scans & 255 == PROBE:
            self.obscure = 0
            return OBSCURE
        share = min(100, 100 * negative // positive) if positive else 0
        if not share:
            self.zeros += 1
            return DOWN if self.zeros > 2 else STAY
        self.zeros = 0
        if share <= 90 and self.stable_benefit:
            if 100 * abs(benefit - self.stable_benefit) // self.stable_benefit > 50:
                self.obscure += 1
                return OBSCURE if self.obscure > 2 else STAY
        self.obscure = 0
        if share > 90:
            return UP
        return STAY if self.stable_benefit else OBSCURE

    def _still(self, direction: int) -> None:
        if direction in (UP, DOWN):
            if direction != self.before:
                self.step = 0
            self._change(direction)
            self.before = direction

    def _change(self, direction: int) -> None:
        """Go up or down by the step, and double it."""
        by = 1 << self.step
        self.words = min(self.most, self.words + by) if direction == UP else max(1, self.words - by)
        self.step = min(MOST_STEP, self.step + 1)

    def _probe(self, benefit: int) -> None:
        """Begin to look for a better point, downwards first; until there is one, this is the best on both sides."""
        self.stable_point = self.turn_down = self.turn_up = self.words
        self.best_down = self.best_up = benefit
        self.state, self.below, self.window = TRYDOWN, 0, 0
        if self.before != DOWN:
            self.step = 0
        self._change(DOWN)

    def _down(self, direction: int, benefit: int) -> None:
        if not self._is_worse(benefit, self.stable_benefit) and benefit > self.best_down:
            self.best_down, self.turn_down = benefit, self.words
        if direction == UP or self.words == 1 or self.below >= MOST_BELOW:
            self.state, self.step, self.below, self.window = TRYUP, 0, 0, 0
            self.words = min(self.most, self.stable_point + 1)
            return
        self._change(DOWN)

    def _up(self, direction: int, benefit: int) -> None:
        if not self._is_worse(benefit, self.best_down) and benefit > self.best_up:
            self.best_up, self.turn_up = benefit, self.words
        if direction == DOWN or self.words >= self.most or self.below >= MOST_BELOW:
            self.words = self.turn_up if self.best_up > self.best_down else self.turn_down
            self.state, self.step = PRE_STILL, 0
            return
        self._change(UP)

    def _is_worse(self, benefit: int, than: int) -> bool:
        """Return whether a benefit is below that one, and count it: three of a window of five are too many."""
        if self.window >= WINDOW:
            self.below = self.window = 0
        self.window += 1
        self.below += benefit < than
        return benefit < than
