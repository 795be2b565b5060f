"""JSON text in pieces says what the standard library's says; but for rows of long lists, in the same characters."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pksm.cli import json_text

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.just("pages"), inner, max_size=3)
    ),
)


def text_of(value):
    return "".join(json_text.pieces(value))


@given(VALUES)
def test_short_lists_are_written_as_json_does(value):
    assert text_of(value) == json.dumps(value, indent=2)


@given(st.lists(VALUES, min_size=1, max_size=3), st.integers(400, 1100), st.dictionaries(st.text(max_size=3), VALUES))
def test_long_lists_have_a_line_per_row(rows, times, others):
    document = {**others, "rows": rows * times}
    text = text_of(document)
    assert json.loads(text) == json.loads(json.dumps(document))
    if len(rows) * times > json_text.LONG:
        lines = text.splitlines()
        first = lines.index('  "rows": [') + 1
        written = lines[first : first + len(rows) * times]
        assert [json.loads(line.removesuffix(",")) for line in written] == json.loads(json.dumps(document["rows"]))
