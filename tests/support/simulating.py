"""Documents of pksm simulate, and a small trace."""

import json

from support.cli_runs import run

TRACE = """
{"op": "spawn", "process": "p"}
{"op": "mmap", "process": "p", "n": 4, "name": "a"}
{"op": "write", "process": "p", "address": "a", "content": [1, 1, 2, 0]}
{"op": "until_rest"}
{"op": "read", "label": "settled"}
{"op": "write", "process": "p", "address": "a", "content": 3}
{"op": "read", "label": "written"}
"""


def document(capfd, *arguments):
    done = run(capfd, "simulate", "--json", *arguments)
    assert done.code == 0 and done.err == "", done.err
    return json.loads(done.out)


def only_run(capfd, *arguments):
    """The run of a document about one policy."""
    [run] = document(capfd, *arguments)["runs"]
    return run
