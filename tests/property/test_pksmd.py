"""pksmd in numpy and C against its slow model, after every step; and at rest against brute force."""

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemons import PAGE_SIZE, Daemons
from model import oracle
from model.checksums import FULL_PAGE
from model.pksmd import ZERO_FRAME
from model.settle import Class
from pksm import native, tunables
from twins import ORDERS, contents, weak

ANY_HOST = sorted(quirk for quirk, (any_host, _) in tunables.QUIRKS.items() if any_host)
INEXACT = {"collision-is-success", "sparse-zero-lost", "stale-hash-reentry", "head-of-list", "period-not-kept", "drop-is-final"}
ENOUGH_WAKES = 30

names_of_checksums = st.one_of(
    st.sampled_from(["xxh3-64", "xxh64", "xxh64-trunc32", "jhash2", "crc32c"]),
    st.lists(st.integers(0, PAGE_SIZE // 4 - 1), min_size=1, max_size=2),
)


def checksum_of(name):
    """Return a strategy as (C's, the model's); name: of a full-page one, or word positions of a sample."""
    return (native.Checksum(name), FULL_PAGE[name]) if isinstance(name, str) else weak(name)


def some_of(data, pages, max_size=20):
    return data.draw(st.lists(st.sampled_from(pages), min_size=1, max_size=max_size, unique=True)) if pages else []


class PksmdMachine(RuleBasedStateMachine):
    def settings_to_try(self):
        """Strategies: (preset, changes)."""
        return st.tuples(
            st.sampled_from(tunables.PRESETS),
            st.fixed_dictionaries(
                {},
                optional={
                    "pages_to_scan": st.integers(1, 40),
                    "sleep_millisecs": st.sampled_from([0, 20, 200, 1000]),
                    "period_seconds": st.sampled_from([1, 10]),
                    "order": st.sampled_from(ORDERS),
                    "reclaim": st.sampled_from(["del-list", "immediate"]),
                    "update": st.sampled_from(["head", "rotate"]),
                },
            ),
        )

    @initialize(data=st.data(), checksum=names_of_checksums, pages=st.lists(contents, max_size=70))
    def start(self, data, checksum, pages):
        preset, changes = data.draw(self.settings_to_try())
        chosen = tunables.preset(preset).with_(**changes)
        toggled = data.draw(st.sets(st.sampled_from(ANY_HOST), max_size=3)) if preset != "fixed" else set()
        chosen = chosen.with_(quirks=chosen.quirks ^ toggled)
        event(f"order {chosen.order}")
        self.both = Daemons(chosen, checksum_of(checksum))
        self.full_64_bit = checksum in ("xxh3-64", "xxh64")
        self.silent = False  # has a page ever changed unannounced?
        for page, content in enumerate(pages):
            self.both.write(page, content)
        self.both.bear(list(range(len(pages))))

    @rule(data=st.data(), anon_vma=st.integers(0, 3))
    def bear(self, data, anon_vma):
        pages = some_of(data, self.both.unborn())
        for page in pages:
            self.both.write(page, data.draw(contents))
        self.both.bear(pages, anon_vma)

    @rule(data=st.data())
    def free(self, data):
        self.both.free(some_of(data, self.both.live()))

    @rule(data=st.data())
    def split(self, data):
        self.both.split(some_of(data, self.both.may_be_split()))

    @rule(data=st.data(), announced=st.booleans())
    def write(self, data, announced):
        pages = some_of(data, [page for page in self.both.may_be_written() if page in self.both.model_host.frame_of], 6)
        for page in pages:
            self.both.write(page, data.draw(contents))
        if announced:
            self.both.written(pages)
        elif pages:
            self.silent = True

    @rule(classes=st.dictionaries(st.integers(0, 69), st.sampled_from(list(Class)), max_size=6))
    def classify(self, classes):
        self.both.set_classes(classes)

    @rule(
        changes=st.fixed_dictionaries(
            {},
            optional={
                "pages_to_scan": st.integers(1, 100),
                "sleep_millisecs": st.integers(0, 1000),
                "reclaim": st.sampled_from(["del-list", "immediate"]),
                "run": st.integers(0, 1),
            },
        )
    )
    def tune(self, changes):
        self.both.set_tunables(**changes)

    @rule(times=st.integers(1, 3))
    def wake(self, times):
        for _ in range(times):
            self.both.wake()
            for _, verdict, _ in self.both.model.verdicts:
                event(verdict)

    @invariant()
    def both_are_the_same(self):
        self.both.check()


TestPksmd = PksmdMachine.TestCase
