"""One call of a function in a worker, for work that reads one thing and returns one document."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.linux.sandbox.channel import Channel, Closed, Garbled
from pksm.linux.sandbox.errors import error_of, fields_of
from pksm.linux.sandbox.restriction import Held
from pksm.linux.sandbox.worker import Worker

Tell = Callable[..., None]


def call(
    work: Callable[[Tell], Any],
    name: str,
    prepare: Callable[[], None],
    descriptors: Sequence[int],
    hear: Callable[..., None],
    started: Callable[[Worker], None],
) -> Any:
    """Call work(send) in a worker and return what it returns, which must be for JSON.

    Args:
        work: the function. What it calls send() with reaches hear().
        name: of what it reads, for messages.
        prepare: called before the worker gives up what it can: it loads all that `work` is going to need.
        descriptors: that stay open there.
        hear: called here, with what the worker sends.
        started: called with the worker, which can be interrupted from now on.

    Raises:
        PksmError, UsageError, MemoryError: what `work` raises, or how the worker died.
        KeyboardInterrupt: `work` was interrupted and had nothing to return.
    """
    worker = _started(partial(_work, work, name), prepare, descriptors)
    channel = worker.channel
    try:
        started(worker)
        while True:
            message = channel.receive()
            if message.name == "told":
                hear(*message.fields["arguments"])
            elif message.name == "available":
                channel.send("answer", {"bytes": memory_limits.available_bytes(message.fields["enough"])})
            elif message.name == "error":
                raise error_of(message.fields)
            elif message.name == "interrupted":
                raise KeyboardInterrupt
            else:
                return message.fields["result"]
    except Closed:
        raise PksmError(
            f"{name}: the process that read it was ended by {worker.died_of()}: the file is hostile, or memory is short"
        ) from None
    except PksmError:
        raise
    except (Garbled, TypeError, ValueError, KeyError):
        raise PksmError(f"{name}: the process that read it answered with what can't be") from None
    finally:
        worker.kill()


def _started(work: Callable[[Channel, Held], None], prepare: Callable[[], None], descriptors: Sequence[int]) -> Worker:
    try:
        return Worker(work, prepare, descriptors)
    except OSError as error:
        raise PksmError(f"no process could be started to read files in: {error.strerror}") from None


def _work(work: Callable[[Tell], Any], name: str, channel: Channel, held: Held) -> None:
    def available(enough: int | None) -> int | None:
        channel.send("available", {"enough": enough})
        found: int | None = channel.receive().fields["bytes"]
        return found

    memory_limits.ask(available)
    try:
        result = work(lambda *arguments: channel.send("told", {"arguments": list(arguments)}))
    except KeyboardInterrupt:
        channel.send("interrupted", {})
    except (PksmError, MemoryError) as error:
        channel.send("error", fields_of(error))
    except Exception as error:
        channel.send("error", fields_of(PksmError(f"{name}: {type(error).__name__}: {error}")))
    else:
        channel.send("done", {"result": result})
