"""Whether a process has run meanwhile: what slept all the time has written nothing, and need not be looked at again."""

from pksm.linux.proc import tasks

PAGES_A_THREAD = 64  # asking about a thread takes as long as looking at so many pages


class Stillness:
    """Tells whether a process slept since it was asked last; `devices`: something else may write to its memory.

    A thread that ran has other counts in its schedstat. Where the kernel has none, every process runs all the time.
    """

    def __init__(self, pid: int, devices: bool):
        self._pid = pid
        self._devices = devices
        self._seen: dict[int, tuple[int, ...]] | None = None

    def begin(self, pages: int) -> None:
        """Start to watch while `pages` pages are read, if that takes less time than looking at them again."""
        if self._seen is None and not self._devices:
            self._seen = self._asleep(pages // PAGES_A_THREAD)

    def lasts(self) -> bool:
        """Tell whether no thread has run since begin()."""
        lasts = self._seen is not None and self._asleep(len(self._seen)) == self._seen
        if not lasts:
            self._seen = None
        return lasts

    def _asleep(self, most: int) -> dict[int, tuple[int, ...]] | None:
        """Return {thread: its counts}, or None if one runs, or there are more than `most`."""
        try:
            threads = tasks.threads(self._pid)
            if len(threads) > most:
                return None
            states = [tasks.read_stat(self._pid, thread).state for thread in threads]
            counts = [tasks.times(self._pid, thread) for thread in threads]
        except OSError:
            return None
        asleep = all(state in tasks.ASLEEP_STATES for state in states)
        return dict(zip(threads, counts, strict=True)) if asleep and all(map(any, counts)) else None
