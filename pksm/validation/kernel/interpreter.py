"""The program of an interpreter with some modules and strings, run by path: says that it is ready, then waits."""

import os
import sys

if __name__ == "__main__":
    import decimal  # noqa: F401
    import email  # noqa: F401
    import json  # noqa: F401
    import xml.dom  # noqa: F401

    text = [bytes([number]) * (1 << 19) for number in range(6)]
    os.write(1, b"\n")
    sys.stdin.read()
