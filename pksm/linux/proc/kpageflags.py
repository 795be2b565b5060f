"""/proc/kpageflags: what the kernel says of single frames. Only root may read it."""

import itertools
import os
from contextlib import suppress

import numpy as np

from pksm.arrays import BoolArray, U64Array

PATH = "/proc/kpageflags"
KSM = np.uint64(1 << 21)
_SPAN_FRAMES = 1 << 16  # read at a time
_GAP_FRAMES = 1 << 9  # flags of a smaller gap are read and dropped


class FrameFlags:
    """The flags of frames. `are_visible`: whether this user may read them."""

    def __init__(self) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC)
        self.are_visible = self._fd >= 0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def are_ksm(self, frames: U64Array) -> BoolArray:
        """Return which frames are pages of the kernel's KSM (bool); none where that cannot be known."""
        if self._fd < 0 or not len(frames):
            return np.zeros(len(frames), bool)
        numbers, where = np.unique(frames, return_inverse=True)
        flags = np.zeros(len(numbers), np.uint64)
        apart = np.diff(numbers) > _GAP_FRAMES
        apart |= np.diff(numbers // np.uint64(_SPAN_FRAMES)) > 0
        heads = [0, *(np.flatnonzero(apart) + 1).tolist(), len(numbers)]
        for head, tail in itertools.pairwise(heads):
            first, last = int(numbers[head]), int(numbers[tail - 1])
            with suppress(OSError):
                data = os.pread(self._fd, (last - first + 1) * 8, first * 8)
                span = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
                at = (numbers[head:tail] - numbers[head]).astype(np.int64)
                inside = at < len(span)
                flags[head:tail][inside] = span[at[inside]]
        return (flags & KSM != 0)[where]
