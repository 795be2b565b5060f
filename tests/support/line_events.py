"""Counting lines of Python: what is done by batches takes as many of them whatever the number of pages."""

import os
import sys
import threading


def line_events(path):
    """Call path() and return how many lines of the package ran, in all threads that began meanwhile."""
    counts = [0]

    def count(frame, event, argument):
        if event == "line":
            counts[0] += 1
        return count

    def enter(frame, event, argument):
        return count if os.sep + "pksm" + os.sep in frame.f_code.co_filename else None

    before, before_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(enter)
    threading.settrace(enter)
    try:
        path()
    finally:
        sys.settrace(before)
        threading.settrace(before_threads)
    return counts[0]
