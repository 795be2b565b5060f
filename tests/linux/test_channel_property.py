"""Messages arrive as they were sent, each with its own arrays and descriptors, whatever goes together on the way."""

import os
import socket
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from pksm.linux.sandbox.channel import Channel

MESSAGES = st.lists(
    st.tuples(
        st.text(max_size=5),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        st.lists(
            st.sampled_from([0, 1, 100, 65535, 65536, 70000, 1 << 20]).map(lambda n: bytes([n % 251]) * n), max_size=3
        ),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=8,
)


@given(MESSAGES)
@settings(deadline=None)
def test_messages_arrive_as_they_were_sent(messages):
    ours, theirs = socket.socketpair()
    with open(os.devnull, "rb") as file:
        sender, receiver = Channel(ours, takes_descriptors=False), Channel(theirs, takes_descriptors=True)

        def send():
            for name, fields, arrays, n_descriptors, more in messages:
                sender.send(name, fields, arrays, [file.fileno()] * n_descriptors, more)
            sender.send("end", {})

        thread = threading.Thread(target=send)
        thread.start()
        try:
            for name, fields, arrays, n_descriptors, _ in messages:
                got = receiver.receive()
                assert (got.name, got.fields, [bytes(array) for array in got.arrays]) == (name, fields, arrays)
                assert len(got.descriptors) == n_descriptors
                for descriptor in got.descriptors:
                    assert os.path.sameopenfile(descriptor, file.fileno())
                    os.close(descriptor)
            assert receiver.receive().name == "end"
        finally:
            sender.close()
            receiver.close()
            thread.join()
