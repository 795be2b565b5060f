"""pksmd in numpy and C against its slow model, after every step; and at rest against brute force."""

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.quirks import QUIRKS

from model.checksums import FULL_PAGE
from model.settle import Class
from support.daemons import WAKES_TO_REST, Daemons, checksum_of
from support.twins import ORDERS, PAGE_SIZE, contents

ANY_HOST = sorted(quirk for quirk, (any_host, _) in QUIRKS.items() if any_host)
HONEST = {"lifo-batch", "batch-plus-two"}  # quirks that change when pages are merged, but not which

which_checksum = st.one_of(
    st.sampled_from(sorted(FULL_PAGE)),
    st.lists(st.integers(0, PAGE_SIZE // 4 - 1), min_size=1, max_size=2),
)


def some_of(data, pages, max_size=20):
    return data.draw(st.lists(st.sampled_from(pages), min_size=1, max_size=max_size, unique=True)) if pages else []


# A walk over one pte does not fail half way. Where one over several does, what has moved is taken away when the batch is
# settled here and at its visit in the model; a page outlives that, but one mapped once would not.
OF_ONE_PTE = [kind for kind in Class if kind not in (Class.WALK_BREAKS, Class.WALK_LOSES)]


class PksmdMachine(RuleBasedStateMachine):
    """Any preset, changed in some ways."""

    def draw_tunables(self, data):
        chosen = data.draw(st.sampled_from(list(tunables.PRESETS)).map(tunables.preset))
        quirks = data.draw(st.sets(st.sampled_from(ANY_HOST), max_size=3))
        return self.draw_changes(data, chosen.with_(quirks=chosen.quirks ^ quirks))

    def draw_changes(self, data, chosen):
        changes = {
            "pages_to_scan": st.integers(1, 40),
            "sleep_millisecs": st.sampled_from([0, 20, 200, 1000]),
            "period_seconds": st.sampled_from([1, 10]),
            "order": st.sampled_from(ORDERS),
            "reclaim": st.sampled_from(["del-list", "immediate"]),
            "update": st.sampled_from(["head", "rotate", "on-search"]),
        }
        drawn = data.draw(st.fixed_dictionaries({}, optional=changes))
        if drawn.get("order", chosen.order) == "content" and drawn.get("update") == "on-search":
            del drawn["update"]
        return chosen.with_(**drawn)

    @initialize(
        data=st.data(),
        checksum=which_checksum,
        window=st.sampled_from([1, 3, 32]),
        forest=st.sampled_from([0, 2, 12]),
        palette=st.lists(contents.filter(any), min_size=4, max_size=12, unique=True),
    )
    def start(self, data, checksum, window, forest, palette):
        numbered = st.integers(1, 200).map(lambda number: bytes([number]) * PAGE_SIZE)
        self.contents = st.sampled_from([bytes(PAGE_SIZE), *palette]) | numbered
        pages = data.draw(st.lists(self.contents, min_size=10, max_size=70))
        chosen = self.draw_tunables(data)
        event(f"order {chosen.order}")
        self.both = Daemons(chosen, checksum_of(checksum), window, forest=forest)
        self.checksum = checksum
        self.silent = False  # has a page ever changed unannounced?
        for page, content in enumerate(pages):
            self.both.write(page, content)
        self.both.add(list(range(len(pages))))

    @rule(data=st.data(), anon_vma=st.integers(0, 3))
    def add(self, data, anon_vma):
        pages = some_of(data, self.both.unborn())
        for page in pages:
            self.both.write(page, data.draw(self.contents))
        self.both.add(pages, anon_vma)

    @rule(data=st.data())
    def free(self, data):
        self.both.free(some_of(data, self.both.live()))

    @rule(data=st.data())
    def split(self, data):
        self.both.split(some_of(data, self.both.may_be_split()))

    def write_some(self, data):
        pages = some_of(data, [page for page in self.both.live() if self.both.may_be_written(page)], 6)
        for page in pages:
            self.both.write(page, data.draw(self.contents))
        return pages

    @rule(data=st.data())
    def write(self, data):
        self.both.written(self.write_some(data))

    def may_change_silently(self):
        """Which outdated items a search meets depends on the tree's shape: it is the model's if they go one by one."""
        return self.both.window == 1

    @precondition(may_change_silently)
    @rule(data=st.data())
    def change_silently(self, data):
        self.silent = bool(self.write_some(data)) or self.silent

    @rule(data=st.data(), classes=st.dictionaries(st.integers(0, 69), st.sampled_from(OF_ONE_PTE), max_size=6))
    def change_the_rules(self, data, classes):
        self.both.set_classes(classes)
        changes = {
            "pages_to_scan": st.integers(1, 100),
            "sleep_millisecs": st.integers(0, 1000),
            "reclaim": st.sampled_from(["del-list", "immediate"]),
            "run": st.sampled_from([0, 1, 1, 2]),
        }
        if self.both.model.settings.order != "content":
            changes["update"] = st.sampled_from(["head", "rotate", "on-search"])
        self.both.set_tunables(**data.draw(st.fixed_dictionaries({}, optional=changes)))

    @rule(times=st.integers(2, 4))
    def wake(self, times):
        for _ in range(times):
            self.both.wake()
            for _, verdict, _ in self.both.model.verdicts:
                event(verdict)
            self.both.check()

    @rule()
    def wake_once(self):
        self.wake(1)

    @invariant()
    def both_are_the_same(self):
        self.both.check()


class RestMachine(PksmdMachine):
    """Preset `fixed`, where every duplicate must be shared in the end."""

    def draw_tunables(self, data):
        fixed = tunables.preset("fixed")
        return self.draw_changes(data, fixed.with_(quirks=data.draw(st.sets(st.sampled_from(sorted(HONEST))))))

    def may_change_silently(self):
        """Only a checksum of the whole page notices it; in order of content an outdated item misleads searches."""
        return self.both.window == 1 and isinstance(self.checksum, str) and self.both.model.settings.order != "content"

    @precondition(may_change_silently)
    @rule(data=st.data())
    def change_silently(self, data):
        super().change_silently(data)

    def is_exact(self):
        """One content a checksum, if the trees go by the checksum alone: contents as short as ours don't collide in 64 bits."""
        return self.both.model.settings.order != "checksum" or self.checksum in ("xxh3-64", "xxh64")

    @precondition(is_exact)
    @rule()
    def rest(self):
        both = self.both
        both.set_classes({})
        both.set_tunables(run=1)
        # a page of zeros that could not be merged as such went on to the trees: only a write brings it back
        both.written([page for page in both.live() if not any(both.model_host.pages[page])])
        if self.silent:  # let a wake-up see every unshared page
            both.set_tunables(sleep_millisecs=1000, period_seconds=1, update="rotate")
            both.wake()
        for _ in range(WAKES_TO_REST):
            if not both.model.new and not both.model.rescan:
                break
            both.wake()
        both.check()
        assert both.daemon.at_rest
        both.check_rest()


TestPksmd = PksmdMachine.TestCase
TestRest = RestMachine.TestCase
TestPksmd.settings = TestRest.settings = settings(stateful_step_count=30)


def test_a_recheck_that_goes_round_the_list_several_times():
    """What a long period has left to do comes at once with a short one."""
    values = tunables.preset("fixed").with_(quirks={"batch-plus-two"}, update="rotate", sleep_millisecs=500)
    both = Daemons(values.with_(period_seconds=10), checksum_of("xxh3-64"))
    for page in range(3):
        both.write(page, bytes([page + 1]) * PAGE_SIZE)
    both.add([0, 1, 2])
    both.wake()
    both.wake()
    both.set_tunables(sleep_millisecs=1000, period_seconds=1)
    both.write(0, bytes([9]) * PAGE_SIZE)
    both.wake()
    both.check()
    assert len(both.model.update) == 2


def fixed_with_a_busy_page():
    """Pages 0 and 1 are equal and can't be merged: one of them waits, visited again and again, and that is rest."""
    both = Daemons(tunables.preset("fixed").with_(sleep_millisecs=1000, period_seconds=1), checksum_of("xxh3-64"))
    for page, byte in enumerate([1, 1, 2, 3]):
        both.write(page, bytes([byte] * PAGE_SIZE))
    both.set_classes({0: Class.BUSY_PAGE})
    both.add([0, 1, 2, 3])
    for _ in range(5):
        both.wake()
    assert both.daemon.at_rest and both.daemon.counters()["rescan_len"] == 1
    return both


def test_written_pages_end_the_rest():
    both = fixed_with_a_busy_page()
    both.write(3, both.model_host.pages[2])
    both.written([3])
    assert not both.daemon.at_rest
    both.wake()
    assert both.host.frames_saved == 1


def test_pages_found_changed_end_the_rest():
    both = fixed_with_a_busy_page()
    both.write(3, both.model_host.pages[2])
    both.wake()
    assert both.daemon.counters()["rescan_len"] == 2 and not both.daemon.at_rest
    both.wake()
    assert both.host.frames_saved == 1
    both.wake()
    both.wake()
    assert both.daemon.at_rest


def test_pages_found_outdated_end_the_rest():
    """A page that comes collides with one that has changed meanwhile, and then finds its twin busy."""
    both = Daemons(tunables.preset("fixed").with_(sleep_millisecs=0), checksum_of([0]))
    one, other = (bytes([7, 0, 0, 0, last] + [0] * (PAGE_SIZE - 5)) for last in (1, 2))
    both.write(0, one)
    both.write(1, other)
    both.write(2, other)
    both.add([0, 1])
    both.wake()
    both.set_classes({1: Class.BUSY_PAGE})
    assert both.daemon.at_rest
    both.write(0, bytes([8] * PAGE_SIZE))
    both.add([2])
    both.wake()
    assert [verdict for _, verdict, _ in both.verdicts] == ["BUSY"]
    waiting = both.daemon.items.page[both.daemon._rescan.ids()].tolist()
    assert waiting == [0, 2] and not both.daemon.at_rest


def test_busy_pages_are_not_summed_anew():
    both = fixed_with_a_busy_page()
    both.set_classes({0: Class.BUSY_PAGE, 2: Class.BUSY_PAGE, 3: Class.WALK_FAILS})
    for page in (2, 3):
        both.write(page, bytes([100 + page]) * PAGE_SIZE)
    both.wake()
    assert both.daemon.items.page[both.daemon._rescan.ids()].tolist() == [0, 3]
    both.check()
    both.set_classes({0: Class.BUSY_PAGE})
    both.wake()
    assert 2 in both.daemon.items.page[both.daemon._rescan.ids()].tolist()
    both.check()


def test_rest_is_reached_though_a_page_stays_busy():
    both = Daemons(tunables.preset("fixed"), checksum_of("xxh3-64"))
    both.set_classes({0: Class.BUSY_PAGE})
    for page in range(3):
        both.write(page, b"\1" * PAGE_SIZE)
    both.add([1, 0, 2])
    wakes = 0
    while not both.daemon.at_rest and wakes < WAKES_TO_REST:
        wakes += both.wake() > 0
    assert both.daemon.at_rest and both.host.frames_saved == 1
