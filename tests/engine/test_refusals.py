"""What C does not take from Python: it says so, and touches nothing."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.engine.items import ItemTable

NONE = np.empty(0, np.uint32)


@pytest.mark.parametrize(("verdicts", "others"), [([255, 0], [0, 0]), ([0, 0], [0, 1 << 31])])
def test_verdicts_that_are_none_and_items_that_are_not_there_are_refused(verdicts, others):
    items = ItemTable({})
    ids = items.take(2)
    with pytest.raises(ValueError, match="an argument"):
        native.sorted_answers(items.table, ids, np.array(verdicts, np.uint8), np.array(others, np.uint32), NONE)
