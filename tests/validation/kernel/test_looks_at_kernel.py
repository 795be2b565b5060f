"""What looks at the kernel's counters come to, without a kernel."""

from pksm.simulation.curve import reached
from pksm.validation.kernel.predict import Looks


def test_what_one_wake_up_saved_was_not_saved_before_it():
    looks = Looks()
    for ms in (2.0, 4.0, 20.0, 24.0):
        looks.add(ms, 0)
    looks.add(26.0, 250)
    assert looks.points == [(0.0, 0), (24.0, 0), (26.0, 250)]
    assert reached(looks.points, 125) == 25.0, "half way between two looks, and not half way from the start"


def test_what_does_not_change_adds_no_points():
    looks = Looks()
    for ms, saved in ((1.0, 5), (2.0, 5), (3.0, 5), (4.0, 7)):
        looks.add(ms, saved)
    assert looks.points == [(0.0, 0), (0.0, 0), (1.0, 5), (3.0, 5), (4.0, 7)]
