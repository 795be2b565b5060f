"""How many words the hash looks at: a machine that steps when a quarter of all pages was visited."""


class Strength:
    """at: now; most: the highest."""

    def __init__(self, at, most):
        self.at, self.most, self.state = at, most, "new"
        self.delta, self.last = 0, None
        self.zero_rounds = self.odd_rounds = 0
        self.stable_benefit = 0

    def step(self, positive, negative, scanned, full_scans):
        if not scanned:
            return self.at
        benefit = (positive - negative) // scanned if positive > negative else 0
        if self.state in ("new", "pre-still"):
            self.stable_benefit, self.state = benefit, "still"
            return self.at
        where = self._where(positive, negative, benefit, full_scans)
        if self.state == "still":
            if where == "obscure":
                self._try_down(benefit)
            elif where in ("up", "down"):
                self.delta = self.delta if where == self.last else 0
                self.last = where
                self._move(where)
        else:
            self._try(where, benefit)
        return self.at

    def _move(self, where):
        by = 2**self.delta
        self.at = min(self.most, self.at + by) if where == "up" else max(1, self.at - by)
        self.delta = min(5, self.delta + 1)

    def _where(self, positive, negative, benefit, full_scans):
        if full_scans % 256 == 10:
            self.odd_rounds = 0
            return "obscure"
        per_cent = min(100, 100 * negative // positive) if positive else 0
        if per_cent == 0:
            self.zero_rounds += 1
            return "down" if self.zero_rounds >= 3 else "still"
        self.zero_rounds = 0
        if per_cent > 90:
            self.odd_rounds = 0
            return "up"
        if not self.stable_benefit:
            self.odd_rounds = 0
            return "obscure"
        if 100 * abs(benefit - self.stable_benefit) // self.stable_benefit > 50:
            self.odd_rounds += 1
            return "obscure" if self.odd_rounds > 2 else "still"
        self.odd_rounds = 0
        return "still"

    def _try_down(self, benefit):
        self.began, self.state = self.at, "down"
        self.seen, self.best = [], {"down": (benefit, self.at), "up": (benefit, self.at)}
        self.delta = self.delta if self.last == "down" else 0
        self._move("down")

    def _try(self, where, benefit):
        """Go on in one direction, and remember where the benefit was best, until it is bad for long or can't go on."""
        to = self.state
        limit = self.stable_benefit if to == "down" else self.best["down"][0]
        self.seen = [*self.seen, benefit < limit] if len(self.seen) < 5 else [benefit < limit]
        if benefit >= limit and benefit > self.best[to][0]:
            self.best[to] = benefit, self.at
        turned = where == ("up" if to == "down" else "down")
        at_the_end = self.at <= 1 if to == "down" else self.at >= self.most
        if not (turned or at_the_end or sum(self.seen) >= 3):
            self._move(to)
            return
        self.delta, self.seen = 0, []
        if to == "down":
            self.state, self.at = "up", min(self.most, self.began + 1)
        else:
            self.state = "pre-still"
            self.at = max(self.best["down"], self.best["up"], key=lambda best: best[0])[1]
