"""What the kernel counts of pages that it moves to other frames."""

from pksm.linux.proc import moves


def counted(tmp_path, lines):
    path = tmp_path / "vmstat"
    path.write_text(lines)
    return moves.count(str(path))


def test_moves_of_every_cause_are_counted_together(tmp_path):
    others = "pswpin 1\nzswpin 20\nksm_swpin_copy 300\nthp_collapse_alloc 4000\npgmigrate_fail 7\nodd\n"
    assert counted(tmp_path, "pgmigrate_success 50000\n" + others) == 54321
    assert counted(tmp_path, "nr_free_pages 9\npgmigrate_success 6\n") == 6


def test_a_kernel_that_does_not_count_says_nothing(tmp_path):
    assert counted(tmp_path, "nr_free_pages 9\npswpin 4\n") is None
    assert counted(tmp_path, "pgmigrate_success many\n") is None
    assert moves.count(str(tmp_path / "none")) is None


def test_the_count_of_this_kernel_never_falls():
    before = moves.count()
    assert before is None or before <= moves.count()
