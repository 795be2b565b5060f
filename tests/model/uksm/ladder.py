"""The ladder: rungs of slots, and the integers that pace them."""

GOVERNORS = {
    "full": ([20, 40, -4, -1], [1000, 500, 200, 50], 95),
    "medium": ([20, 30, -4, -1], [1000, 500, 400, 100], 50),
    "low": ([10, 20, -2, -1], [1500, 1000, 1000, 250], 20),
    "quiet": ([10, 20, 40, 75], [2000, 1000, 1000, 1000], 1),
}


class Slot:
    """A vma. order: page by entry, shuffled as it is visited; item_at: item by entry."""

    def __init__(self, number, key, mm):
        self.number, self.key, self.mm = number, key, mm
        _, self.first, self.n = key
        self.order, self.item_at = list(range(self.n)), [None] * self.n
        self.rung = None
        self.cursor = self.sampled = self.merged = self.copied = self.scanned_in = 0

    def forget_pools(self, before, size):
        """Parts of the permutation that the cursor has passed are gone if they hold no item."""
        for pool in range(before // size, self.cursor // size):
            part = range(pool * size, (pool + 1) * size)
            if not any(self.item_at[entry] for entry in part):
                for entry in part:
                    self.order[entry] = entry


class Rung:
    """places: slots, and None where one has left. draw_offset(step): where it begins anew."""

    def __init__(self, number, draw_offset):
        self.number, self.draw_offset = number, draw_offset
        self.places = []
        self.at = self.offset = self.quota = 0
        self.step, self.finished = 1, False

    def set(self, share, cover_ms, max_cpu, quirks):
        self.ratio = share if share > 0 else max(1, 10000 // -share * max_cpu // 100)
        self.cover_ms, self.at_second = cover_ms, "offset-one" in quirks
        self.knows_ratio = share > 0 or "reset-stride" not in quirks

    @property
    def slots(self):
        return [slot for slot in self.places if slot]

    @property
    def pages(self):
        return sum(slot.n for slot in self.slots)

    def allot(self, sleep_ms, page_ns):
        self.quota = sleep_ms * 1000000 // (10000 - self.ratio) * self.ratio // page_ns
        self.step = self.stride(page_ns)

    def stride(self, page_ns):
        sampled = max(3, self.cover_ms * 100 * self.ratio // page_ns)
        return self.pages // sampled if self.cover_ms and self.pages > sampled else 1

    def enter(self, slots, page_ns):
        was_empty = not self.slots
        for slot in slots:
            slot.rung = self
            if None in self.places:
                self.places[self.places.index(None)] = slot
            else:
                self.places.append(slot)
        if slots and was_empty:
            self._begin(page_ns, anew=True)

    def leave(self, slot, page_ns):
        if self.places[self.at] is slot:
            self.advance(page_ns)
        self.places[self.places.index(slot)] = slot.rung = None
        if self.slots and not self.places[self.at]:
            self.at = self.places.index(self.slots[0])

    def advance(self, page_ns):
        before = self.places[self.at]
        for place in range(self.at + 1, len(self.places)):
            slot = self.places[place]
            if not slot:
                continue
            rest = (before.n - self.offset) % 2**64 % self.step
            self.offset = self.step - rest if rest or self.at_second else 0
            if self.offset < slot.n:
                self.at = place
                return
            before = slot
        self.finished = True
        self._begin(page_ns, anew=self.step > self.pages)

    def _begin(self, page_ns, anew):
        if anew:
            self.step = self.stride(page_ns) if self.knows_ratio else 1
        self.at = self.places.index(self.slots[0])
        self.offset = self.draw_offset(self.step)
