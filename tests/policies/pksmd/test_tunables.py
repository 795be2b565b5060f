"""Settings: presets, ranges, and quirks that are kept in step with the tunables they stand for."""

import dataclasses

import pytest

from pksm.engine.checksums import strategies as checksums
from pksm.engine.settings import parse_value
from pksm.errors import UsageError
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.quirks import IMPLIED, QUIRKS
from pksm.policies.pksmd.tunables import PRESETS, SETTINGS, Tunables, preset

# preset -> pages_to_scan, sleep_millisecs, period_seconds, order: the published values
PUBLISHED = {
    "v0.1": (1000, 20, 20, "content"),
    "v0.2": (1000, 20, 10, "checksum"),
    "android-3.4": (100, 50, 10, "checksum"),
    "reveriel": (1000, 200, 10, "checksum"),
    "fixed": (1000, 20, 10, "checksum-content"),
}
BY_CHECKSUM = {"collision-is-success", "sparse-zero-lost", "one-content-per-hash", "walk-stops"}
NOT_EVERYWHERE = {
    "split-vma": {"v0.1", "v0.2", "android-3.4"},
    "head-of-list": {"v0.1", "v0.2", "android-3.4"},
    "ageing-defeated": {"reveriel"},
    "quadratic-assert": {"reveriel"},
    **{quirk: {"v0.2", "android-3.4", "reveriel"} for quirk in BY_CHECKSUM},
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_published_values(name):
    chosen = preset(name)
    values = chosen.pages_to_scan, chosen.sleep_millisecs, chosen.period_seconds, chosen.order
    assert values == PUBLISHED[name]
    published = name != "fixed"
    assert chosen.quirks == {
        quirk for quirk in QUIRKS if published and name in NOT_EVERYWHERE.get(quirk, PUBLISHED.keys())
    }
    assert chosen.checksum == ("sampled" if published else checksums.DEFAULT)
    assert chosen.reclaim == ("del-list" if published else "immediate")
    assert chosen.update == ("head" if published and name != "reveriel" else "rotate")
    assert chosen.births == ("anonymous" if published else "all")
    assert chosen.run == 1


def test_presets_are_all_there():
    assert set(PRESETS) == set(PUBLISHED)
    with pytest.raises(UsageError, match="android-3.4"):
        preset("android")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("quirk", QUIRKS)
def test_any_quirk_can_be_set_on_any_preset(name, quirk):
    chosen = preset(name)
    toggled = chosen.with_(quirks=chosen.quirks ^ {quirk})
    assert toggled.quirks == chosen.quirks ^ {quirk}
    changed = {field for field in SETTINGS if getattr(toggled, field) != getattr(chosen, field)}
    if quirk not in IMPLIED:
        assert changed == {"quirks"}
        return
    setting, value = IMPLIED[quirk]
    assert changed <= {"quirks", setting}
    assert (getattr(toggled, setting) == value) == (quirk in toggled.quirks)


@pytest.mark.parametrize("quirk", IMPLIED)
def test_setting_the_tunable_sets_the_quirk(quirk):
    setting, value = IMPLIED[quirk]
    faulty = preset("fixed").with_(**{setting: value})
    assert faulty.quirks == {quirk}
    honest = faulty.with_(**{setting: getattr(preset("fixed"), setting)})
    assert not honest.quirks and honest == preset("fixed")


def test_both_at_once():
    """What is said of the tunable counts."""
    assert preset("fixed").with_(order="content", quirks={"one-content-per-hash"}).quirks == set()
    chosen = preset("android-3.4").with_(order="checksum-content", quirks={"one-content-per-hash", "lifo-batch"})
    assert chosen.quirks == {"lifo-batch"} and chosen.order == "checksum-content"


def test_other_orders_stay_when_quirks_change():
    chosen = preset("fixed").with_(order="content").with_(quirks={"lifo-batch"})
    assert chosen.order == "content" and chosen.quirks == {"lifo-batch"}


def test_a_change_makes_a_copy():
    chosen = preset("fixed")
    assert chosen.with_(pages_to_scan=5).pages_to_scan == 5
    assert chosen == preset("fixed") and chosen.pages_to_scan == 1000
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.pages_to_scan = 5


@pytest.mark.parametrize(
    "changes",
    [
        {"pages_to_scan": 0},
        {"pages_to_scan": -1},
        {"pages_to_scan": (1 << 31) + 1},
        {"pages_to_scan": 1.5},
        {"pages_to_scan": "5"},
        {"pages_to_scan": True},
        {"sleep_millisecs": -1},
        {"period_seconds": 0},
        {"run": 3},
        {"order": "size"},
        {"reclaim": "never"},
        {"update": "tail"},
        {"births": "none"},
        {"quirks": {"no-such-quirk"}},
    ],
    ids=str,
)
def test_values_that_can_not_be(changes):
    """One line that names the setting or the value."""
    ((name, value),) = changes.items()
    with pytest.raises(UsageError) as refused:
        preset("fixed").with_(**changes)
    message = str(refused.value)
    assert "\n" not in message
    assert (name if name != "quirks" else "no-such-quirk") in message
    if name != "quirks":
        with pytest.raises(UsageError):
            Tunables(**changes)


def test_names_that_can_not_be():
    with pytest.raises(UsageError, match="pages_to_scan"):
        preset("fixed").with_(page_to_scan=5)


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("pages_to_scan", "17", 17),
        ("sleep_millisecs", "0", 0),
        ("order", "content", "content"),
        ("checksum", "crc32c", "crc32c"),
        ("quirks", "", frozenset()),
        ("quirks", "lifo-batch,drop-is-final", {"lifo-batch", "drop-is-final"}),
    ],
)
def test_settings_as_text(name, text, expected):
    value = parse_value(name, text, SETTINGS[name])
    assert value == expected
    assert getattr(preset("fixed").with_(**{name: value}), name) == value


@pytest.mark.parametrize("text", ["", "=", "many", "5 6"])
def test_text_that_is_no_value(text):
    with pytest.raises(UsageError) as refused:
        parse_value("pages_to_scan", text, SETTINGS["pages_to_scan"])
    assert "\n" not in str(refused.value)


def test_every_setting_says_what_it_is():
    for name, setting in SETTINGS.items():
        assert setting.metadata["text"], name
    for quirk, (acts_on_any_host, text) in QUIRKS.items():
        assert isinstance(acts_on_any_host, bool) and text, quirk
    assert set(IMPLIED) <= set(QUIRKS)


def test_counters_have_other_names_than_settings():
    from pksm.policies.pksmd.counters import COUNTERS

    assert not set(COUNTERS) & set(SETTINGS)
    assert tunables.SETTINGS is SETTINGS
