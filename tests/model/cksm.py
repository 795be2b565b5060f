"""CKSM once more, page by page, in plain Python: a list, two dicts, and one merge at a time."""

from dataclasses import dataclass

import numpy as np

STEPS = {0: 41, 1: 41, 2: 29, 3: 29, 4: 17, 5: 17, 6: 17, 7: 7, 8: 7, 9: 7, 10: 7}  # by age in passes; older: 1


@dataclass(eq=False)
class Entry:
    page: int
    born: int
    sum: int | None = None
    kept: bool = False


class SlowCksm:
    """Merges the pages of a PageHost that never refuses. sum_of(bytes) is a page's checksum."""

    merges = True
    opted_in_only = False

    def __init__(self, host, settings, sum_of):
        self.host, self.settings, self.sum_of = host, settings, sum_of
        self.cursor = Entry(-1, 0)
        self.list: list[Entry] = [self.cursor]  # head first; behind the cursor is what comes next
        self.entries: dict[int, Entry] = {}
        self.stable: dict[int, list[Entry]] = {}  # by checksum, newest first
        self.unstable: dict[int, list[Entry]] = {}
        self.at_head = True
        self.status = self.passes = self.new_pages = self.scanned = self.merged = self.zero_merged = 0
        self.step = 17
        host.attach(self)

    # ---- what the host reports ----

    def on_new(self, pages):
        for page in pages.tolist():
            entry = self.entries[page] = Entry(page, self.passes)
            self.list.insert(1 if self.at_head else 0, entry)
            self.new_pages += 1

    def on_free(self, pages):
        for page in pages.tolist():
            entry = self.entries.pop(page, None)
            if entry:
                self._leave_tables(entry)
                if entry in self.list:
                    self.list.remove(entry)

    def written(self, pages):
        pass

    def moved(self, old, new):
        pass

    def _leave_tables(self, entry):
        for table in (self.stable, self.unstable):
            if entry in table.get(entry.sum, ()):
                table[entry.sum].remove(entry)

    # ---- one wake-up ----

    def wake(self):
        visited = unmerged = 0
        met_plain, is_whole, passed_over = True, False, 0
        while visited < self.settings.pages_to_scan and unmerged < self.settings.unmerge_pages_to_scan:
            place = self.list.index(self.cursor)
            ahead = self.list[place + 1 :]
            step = 1 if self.status or self.at_head else self.step
            self.list.remove(self.cursor)
            if self.at_head and not ahead:
                self.list.insert(0, self.cursor)
                return
            if step > len(ahead):
                passed_over += len(ahead)
                ends = is_whole and not met_plain and not passed_over
                self.passes += 1
                self.new_pages, self.at_head = 0, True
                self.list.insert(0, self.cursor)
                is_whole, met_plain, passed_over = True, False, 0
                if ends:
                    return
                continue
            passed_over += step - 1
            entry, self.at_head = ahead[step - 1], False
            self.list.insert(self.list.index(entry) + 1, self.cursor)
            if entry.kept:
                self.step = self._step_after(entry)
                if "busy-loop" not in self.settings.quirks:
                    visited += 1
                    unmerged += 1
                continue
            met_plain = True
            visited += 1
            self.scanned += 1
            self.step = self._step_after(entry)
            if self._visit(entry):
                self.status += 1
                unmerged = 0
            else:
                self.status >>= 1
                unmerged += 1

    def _step_after(self, entry):
        return 41 if self.new_pages > 32768 else STEPS.get(self.passes - entry.born, 1)

    def _bytes(self, entry):
        return self.host.store.bytes_of([entry.page]).tobytes()

    def _visit(self, entry):
        """Return whether it merged."""
        data, before = self._bytes(entry), entry.sum
        self._leave_tables(entry)
        entry.sum = self.sum_of(data)
        if not any(data):
            self.zero_merged += 1
            self.host.merge_zero(np.array([entry.page], np.uint32))
            return True
        kept = self._equal(self.stable, entry, data)
        if kept:
            self.merged += 1
            self.host.merge(np.array([entry.page], np.uint32), np.array([kept.page], np.uint32))
            return True
        if "double-hash" not in self.settings.quirks and before != entry.sum:
            return False
        twin = self._equal(self.unstable, entry, data)
        if not twin:
            self.unstable.setdefault(entry.sum, []).insert(0, entry)
            return False
        self._leave_tables(twin)
        entry.kept = True
        self.stable.setdefault(entry.sum, []).insert(0, entry)
        self.merged += 1
        self.host.merge(np.array([twin.page], np.uint32), np.array([entry.page], np.uint32))
        if "merged-stay" not in self.settings.quirks:
            self.list.remove(entry)
        return True

    def _equal(self, table, entry, data):
        return next((other for other in table.get(entry.sum, ()) if self._bytes(other) == data), None)

    def counters(self):
        return {
            "pages_shared": sum(map(len, self.stable.values())),
            "pages_unshared": sum(map(len, self.unstable.values())),
            "pages_merged": self.merged,
            "zero_merged": self.zero_merged,
            "pages_inlist": len(self.list) - 1,
            "full_scans": self.passes,
            "scan_step": self.step,
            "pages_scanned": self.scanned,
        }
