"""The program that pksm demo starts four times, by path: what a small service holds, and then it waits for its end.

A dictionary of records, a text, arrays of numbers. The text, one array and half of another are the same in all of
them, the rest is each one's own. It imports the standard library only.
"""

import math
import sys
from array import array


def hold(number: int) -> list[object]:
    """Return what the service of this number has in memory."""
    common = array("d", map(math.sqrt, range(1 << 19)))
    own = array("d", map(math.log, range(1 + (number << 19), 1 + (number + 1 << 19))))
    half_empty = array("d", bytes(1 << 20)) + array("d", range(1 << 17))
    text = "\n".join(
        f"line {line:06} of a text that every one of these interpreters has read" for line in range(50_000)
    )
    records = {
        f"user-{key}": {"id": key, "name": f"name {key * number}", "tags": [key, str(key)]} for key in range(10_000)
    }
    return [common, own, half_empty, text, records]


if __name__ == "__main__":
    held = hold(int(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.read()
