"""How long equal pages stay equal, page by page: the slow twin of pksm.recording.lives."""

from pksm.recording.events import Kind


class Copy:
    """What a page holds, of its own or together with pages of forks."""

    def __init__(self, content, ms):
        self.content, self.since, self.pages = content, ms, 1


class Lives:
    """Spaces are dicts {page: Copy}."""

    def __init__(self):
        self.spaces, self.ended, self.written_ages = {}, [], []
        self.spare_ms = self.ms = 0
        self.equal_since = {}  # by content

    def copies(self):
        return {id(copy): copy for pages in self.spaces.values() for copy in pages.values()}.values()

    def counts(self):
        counts = {}
        for copy in self.copies():
            counts[copy.content] = counts.get(copy.content, 0) + 1
        return counts

    def spare(self):
        return sum(count - 1 for count in self.counts().values())

    def at(self, ms):
        self.spare_ms += self.spare() * (ms - self.ms)
        self.ms = ms

    def count_from(self, ms):
        self.ended, self.written_ages = [], []
        self.spare_ms, self.ms = 0, ms

    def apply(self, block):
        self.at(block.ms)
        for name, *fields in block.operations:
            if name == "start":
                self.spaces[block.space] = {}
            elif name == "fork":
                self.spaces[block.space] = dict(self.spaces[fields[0]])
                for copy in self.spaces[block.space].values():
                    copy.pages += 1
            elif name == "exit":
                self.leave(block.space, list(self.spaces[block.space]), set())
                del self.spaces[block.space]
        if not len(block.pages):
            return
        pages, contents = self.spaces[block.space], iter(block.contents.tolist())
        written, gone, born = {}, [], {}
        for page, kind in zip(block.pages.tolist(), block.kinds.tolist(), strict=True):
            if kind == Kind.WRITE:
                written[page] = next(contents)
            elif kind == Kind.BIRTH:
                born[page] = next(contents)
            elif kind == Kind.DEATH:
                gone.append(page)
            elif kind == Kind.SAME and pages[page].pages > 1:
                written[page] = None
        for_real = {page for page, content in written.items() if content is not None}
        held = {page: pages[page].content for page in written}
        self.leave(block.space, list(written), for_real)
        self.enter(block.space, {page: held[page] if new is None else new for page, new in written.items()})
        self.leave(block.space, gone, set())
        self.enter(block.space, born)

    def leave(self, space, pages, written):
        counts, leaving = self.counts(), []
        for page in pages:
            copy = self.spaces[space].pop(page)
            copy.pages -= 1
            if copy.pages == 0:
                leaving.append((copy, page in written))
        for copy, is_written in leaving:
            if counts[copy.content] >= 2:
                self.ended.append(self.ms - max(copy.since, self.equal_since[copy.content]))
            if is_written:
                self.written_ages.append(self.ms - copy.since)

    def enter(self, space, contents):
        before = self.counts()
        for page, content in contents.items():
            self.spaces[space][page] = Copy(content, self.ms)
        for content, count in self.counts().items():
            if count >= 2 > before.get(content, 0):
                self.equal_since[content] = self.ms

    def lasting(self):
        counts = self.counts()
        return [
            self.ms - max(copy.since, self.equal_since[copy.content])
            for copy in self.copies()
            if counts[copy.content] >= 2
        ]
