"""A worker that lies: nothing it says is believed that can't be."""

import json
import os
import socket

import numpy as np
import pytest

from pksm.errors import PksmError
from pksm.extents import State, make_runs
from pksm.linux.sandbox.channel import Channel
from pksm.linux.sandbox.worker import Worker
from pksm.scan import scan
from pksm.sources import Sandbox, open_target
from pksm.sources.sandboxed import sandbox as sandboxes

from support.sandboxed import PAGE, outcome

ABOUT = {"name": "x", "kind": "raw", "page_size": None, "machine": None, "lost": 0, "partial": False,
         "warnings": [], "mappings": [["all", 0, 4096]]}  # fmt: skip
REGION = {"lost": 0, "partial": False, "warnings": [], "view": [0, PAGE], "slot": None, "pages": 0, "columns": []}
RUNS = make_runs([State.DATA], 0, 0, np.array([1]))


def with_pages(pages, state=State.DATA, mapping=0, first=0):
    runs = make_runs([state], mapping, 0, np.array([pages]))
    runs["first"] = first
    return runs.tobytes()


STATE = {"lost": 0, "partial": False, "warnings": []}
LIES = {
    "no text": [("open", {"whole": ABOUT | {"name": 7}, "parts": None})],
    "no fields": [("open", {})],
    "no list": [("open", {"whole": ABOUT, "parts": 7})],
    "a page size": [("open", {"whole": ABOUT | {"page_size": "many"}, "parts": None})],
    "mappings": [("open", {"whole": ABOUT | {"mappings": [[1, 2]]}, "parts": None})],
    "a view behind the end": [("region", REGION | {"view": [0, 1 << 40]}, [RUNS.tobytes()])],
    "a view before the start": [("region", REGION | {"view": [-PAGE, PAGE]}, [RUNS.tobytes()])],
    "a slot never given": [("region", REGION | {"view": None, "slot": 3, "pages": 1}, [RUNS.tobytes()])],
    "half a run": [("region", REGION, [b"x"])],
    "a run of another mapping": [("region", REGION, [with_pages(1, mapping=9)])],
    "a run in no state": [("region", REGION, [with_pages(1, state=99)])],
    "a run behind its buffer": [("region", REGION, [with_pages(1, first=5)])],
    "a run of more than there is": [("region", REGION, [with_pages(1 << 60, state=State.HOLE)])],
    "needs": [("open", {"needs": []})],
    "a column": [("region", REGION | {"columns": ["frames"]}, [RUNS.tobytes(), bytes(8)])],
    "a column that there is not": [("region", REGION | {"columns": ["file"]}, [RUNS.tobytes(), bytes(8)])],
    "columns too few": [("region", REGION | {"columns": ["frames"]}, [RUNS.tobytes()])],
    "no runs": [("region", REGION, [])],
    "no state": [("state", {})],
    "a fact": [("state", STATE | {"facts": {"pid": "one"}})],
    "a fact below zero": [("state", STATE | {"facts": {"racy": -1}})],
    "out of reach": [("state", STATE | {"facts": {"out_of_reach": {"x": "y"}}})],
    "no facts": [("state", STATE | {"facts": 3})],
    "a question": [("allocate", {"pages": -1})],
    "a question of no sense": [("allocate", {})],
    "a progress": [("progress", {"pages": None})],
    "nothing known": [("nothing known", {})],
    "an error of no sense": [("error", {"class": 7})],
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_one_line(mine, monkeypatch, name):
    def lie(channel, *_):
        channel.receive()
        [(what, *content)] = LIES[name]
        if what == "open":
            channel.send("done", *content)
            channel.receive()
        channel.send("done", {"whole": ABOUT, "parts": None})
        channel.receive()
        channel.send(what, *content)
        channel.receive()

    monkeypatch.setattr(sandboxes.serving, "serve", lie)
    with Sandbox() as sandbox:
        kind, message = outcome([mine], sandbox)
    assert issubclass(kind, PksmError) and "\n" not in message and message


UNASKED = {"file": 0, "page_size": PAGE, "name": "region", "fields": REGION}
END = {"file": 0, "page_size": PAGE, "name": "state", "fields": STATE | {"facts": {}}}
UNASKED_LIES = {
    "no file": [({}, ())],
    "a file of no sense": [(UNASKED | {"file": []}, [RUNS.tobytes()])],
    "a view behind the end": [
        (UNASKED | {"fields": REGION | {"view": [0, 1 << 40]}}, [RUNS.tobytes()]), (END, ())],
    "no fields": [(UNASKED | {"fields": 7}, [RUNS.tobytes()]), (END, ())],
    "half a run": [(UNASKED, [b"x"]), (END, ())],
    "no runs": [(UNASKED, ()), (END, ())],
    "more than there is": [(UNASKED, [with_pages(1, first=5)]), (END, ())],
    "a fact": [(UNASKED, [RUNS.tobytes()]), (END | {"fields": STATE | {"facts": {"pid": "one"}}}, ())],
    "too many": [(UNASKED, [RUNS.tobytes()])] * 99,
    "too long": [(UNASKED, [bytes(2 << 20)])],
}  # fmt: skip


@pytest.mark.parametrize("name", UNASKED_LIES)
def test_a_lie_that_comes_unasked_is_one_line(small, monkeypatch, name):
    def lie(channel, *_):
        channel.receive()
        channel.send("done", {"whole": ABOUT, "parts": None})
        channel.receive()
        for fields, arrays in UNASKED_LIES[name]:
            channel.send("ahead", fields, arrays)
        channel.send("done", {"whole": ABOUT, "parts": None})
        channel.receive()

    monkeypatch.setattr(sandboxes.serving, "serve", lie)
    with Sandbox() as sandbox:
        try:
            first, _ = open_target(small[0], sandbox), open_target(small[1], sandbox)
            lines = scan([first])["warnings"]
        except PksmError as error:
            lines = [str(error)]
    assert lines and lines[-1] and "\n" not in lines[-1]


@pytest.mark.parametrize(
    "data", [b"garbage that is no message" * 9, b"\xff" * 16, bytes(16), b"\2" + bytes(15) + b"[]"]
)
def test_what_is_no_message_is_one_line(mine, monkeypatch, data):
    monkeypatch.setattr(sandboxes.serving, "serve", lambda channel, *_: os.write(channel.fileno(), data))
    with Sandbox() as sandbox:
        kind, message = outcome([mine], sandbox)
    assert kind is PksmError and message.startswith(f"{mine}: the process that read it ")


def test_descriptors_of_a_worker_are_not_taken(mine):
    def work(channel, held):
        channel.receive()
        channel.send("open", {}, (), [0, 1])
        channel.receive()

    worker = Worker(work, lambda: None)
    before = len(os.listdir("/proc/self/fd"))
    worker.channel.send("go", {})
    assert worker.channel.receive().descriptors == [] and len(os.listdir("/proc/self/fd")) == before
    worker.close()


def test_a_worker_that_does_not_end_is_ended():
    worker = Worker(lambda channel, held: os.sched_yield() or [None for _ in iter(int, 1)], lambda: None)
    worker.close()
    assert worker.died_of() == "SIGKILL"


def test_messages_arrive_as_they_were_sent():
    ours, theirs = socket.socketpair()
    one, other = Channel(ours, False), Channel(theirs, True)
    fields = {"text": "\udcff \u202e", "number": 1 << 63, "none": None, "list": [1.5, "x"]}
    fd = os.memfd_create("sent")
    one.send("name", fields, [b"", b"abc", bytes(100_000)], [fd])
    message = other.receive()
    assert (message.name, message.fields) == ("name", json.loads(json.dumps(fields)))
    assert [bytes(array) for array in message.arrays] == [b"", b"abc", bytes(100_000)]
    assert os.fstat(message.descriptors[0]).st_ino == os.fstat(fd).st_ino
    for descriptor in (fd, *message.descriptors):
        os.close(descriptor)
    one.close()
    other.close()
