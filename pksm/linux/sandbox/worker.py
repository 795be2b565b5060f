"""A forked process that holds nothing but a channel to us and what we send it, and has given up all else."""

import contextlib
import gc
import itertools
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

from pksm.linux.sandbox import system_call
from pksm.linux.sandbox.channel import Channel
from pksm.linux.sandbox.restriction import Held, restrict

INTERRUPT = signal.SIGUSR1  # the signal that ends a worker; it ignores what the terminal sends to all of us
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PARENT_DEATH_SIGNAL = 1
_END_OF_DESCRIPTORS = (1 << 31) - 1
PATIENCE_MS = 2000  # that it has to end in


class Worker:
    """The process, while it is needed.

    Args:
        work: called in it with its end of the channel and with what holds, once it is restricted; it ends when that
            returns.
        prepare: called in it before, while it may still load modules.
        descriptors: that stay open in it.

    Raises:
        OSError: no process is to be had.
    """

    def __init__(
        self, work: Callable[[Channel, Held], None], prepare: Callable[[], None], descriptors: Sequence[int] = ()
    ) -> None:
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        try:
            with _signals_blocked() as mask:
                self.pid = os.fork()
                if self.pid == 0:
                    _live(Channel(theirs, takes_descriptors=True), parent, mask, prepare, work, descriptors)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.channel = Channel(ours, takes_descriptors=False)
        self._status: int | None = None

    def interrupt(self) -> None:
        """Make it end, as Ctrl-C ends us."""
        if self._status is None:
            os.kill(self.pid, INTERRUPT)

    def close(self) -> None:
        """Let it end, as it does when its channel does; one that does not is killed."""
        self.channel.close()
        self._wait()

    def kill(self) -> None:
        """End it at once."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def died_of(self) -> str:
        """Return what ended it: "SIGKILL", "exit code 1"."""
        code = os.waitstatus_to_exitcode(self._wait())
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:  # a real-time signal
            return f"signal {-code}"

    def _wait(self) -> int:
        if self._status is None:
            with contextlib.suppress(OSError):
                pidfd = os.pidfd_open(self.pid)
                ended = select.poll()
                ended.register(pidfd, select.POLLIN)
                if not ended.poll(PATIENCE_MS):
                    os.kill(self.pid, signal.SIGKILL)
                os.close(pidfd)
            self._status = os.waitpid(self.pid, 0)[1]
        return self._status


def tried() -> Held | None:
    """Return what holds in a worker here, for having tried it; None if no process is to be had."""
    try:
        worker = Worker(lambda channel, held: channel.send("held", held._asdict()), lambda: None)
    except OSError:
        return None
    try:
        return Held(**worker.channel.receive().fields)
    finally:
        worker.close()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[set[signal.Signals]]:
    """Block all signals, or a handler of ours might run in the new process. Gives the mask before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield {signal.Signals(number) for number in mask}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _live(
    channel: Channel,
    parent: int,
    mask: set[signal.Signals],
    prepare: Callable[[], None],
    work: Callable[[Channel, Held], None],
    descriptors: Sequence[int],
) -> None:
    """The whole life of a worker, which ends here whatever happens."""
    code = 1
    try:
        gc.freeze()  # what is the parent's is not looked at, and so not copied
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask | {INTERRUPT})  # which waits for whoever handles it
        system_call.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == parent:
            _keep_only({channel.fileno(), *descriptors})
            prepare()
            work(channel, restrict())
            code = 0
    finally:
        os._exit(code)


def _keep_only(descriptors: set[int]) -> None:
    """Close all other descriptors; standard input and output lead nowhere. Takes no file: there may be none."""
    nowhere, other = socket.socketpair()
    other.close()
    for standard in range(3):
        os.dup2(nowhere.fileno(), standard)
    kept = sorted(descriptors)
    for last, following in itertools.pairwise((2, *kept, _END_OF_DESCRIPTORS)):
        os.closerange(last + 1, following)
