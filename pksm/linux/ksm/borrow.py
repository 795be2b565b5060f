"""The running kernel's own ksmd, borrowed: stepped scan by scan, its files read, and every knob put back afterwards.

ksmd is one thread for the whole machine. So it is borrowed under a lock, only while no other process has mergeable
memory, and a guard process holds the old values: it restores them when we are done, or dead.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time

from pksm.errors import PksmError, UnsupportedError

DIRECTORY = "/sys/kernel/mm/ksm"
LOCK = "/run/lock/pksm-ksm.lock"
COUNTERS = (
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "pages_scanned",
    "pages_skipped",
    "full_scans",
    "ksm_zero_pages",
    "stable_node_chains",
    "stable_node_dups",
    "general_profit",
)
KNOBS = (  # in the order they are restored: max_page_sharing can't change while pages are shared; run comes last
    "max_page_sharing",
    "merge_across_nodes",
    "use_zero_pages",
    "smart_scan",
    "stable_node_chains_prune_millisecs",
    "pages_to_scan",
    "sleep_millisecs",
    "advisor_max_cpu",
    "advisor_max_pages_to_scan",
    "advisor_min_pages_to_scan",
    "advisor_target_scan_time",
    "advisor_mode",
    "run",
)
NEVER_MILLISECS = 3_600_000  # ksmd sleeps that long, or until this value changes: that is how it is stepped
EVERYTHING = (1 << 31) - 1  # pages_to_scan
SCAN_TIMEOUT_S = 60.0

# The guard reads to the end of its input, which comes when we close it or die, then stops and unmerges, and restores.
_GUARD = """
import json, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
directory, values = sys.argv[1], json.loads(sys.argv[2])
sys.stdin.buffer.read()
def put(name, value):
    with open(directory + "/" + name, "w") as knob:
        knob.write(value)
left, end = {"run": "2", **{"sleep_millisecs": "0"}}, time.monotonic() + 30
for name, value in [*left.items(), *values]:
    while True:
        try:
            put(name, value)
            break
        except OSError:
            if time.monotonic() > end:
                break
            time.sleep(0.05)
"""


def read_file(name):
    """Return what one of KSM's files says: an int, or the chosen word of those in brackets."""
    with open(os.path.join(DIRECTORY, name), encoding="ascii") as file:
        text = file.read().strip()
    if "[" in text:
        return text[text.index("[") + 1 : text.index("]")]
    return int(text)


def write_knob(name, value):
    """Set one of KSM's knobs. PksmError if the kernel refuses."""
    try:
        with open(os.path.join(DIRECTORY, name), "w", encoding="ascii") as file:
            file.write(str(value))
    except OSError as error:
        raise PksmError(f"{DIRECTORY}/{name}: the kernel refuses {value}: {error.strerror}") from None


def ksm_stat(pid):
    """Return what /proc/PID/ksm_stat says of one process: {name: int, or "yes" or "no"}; {} if it says nothing."""
    try:
        with open(f"/proc/{pid}/ksm_stat", encoding="ascii") as file:
            pairs = (line.replace(":", " ").split() for line in file)
            return {name: int(value) if value.lstrip("-").isdigit() else value for name, value in pairs}
    except OSError:
        return {}


def mergeable_processes():
    """Return the ids of the processes that have mergeable memory, in order."""
    return [int(pid) for pid in sorted(os.listdir("/proc")) if pid.isdigit() and _is_mergeable(int(pid))]


def _is_mergeable(pid):
    stat = ksm_stat(pid)
    if "ksm_mergeable" in stat:
        return "yes" in (stat["ksm_mergeable"], stat.get("ksm_merge_any"))
    if stat.get("ksm_rmap_items"):
        return True
    try:
        with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
            return any(line.startswith("VmFlags:") and " mg" in line for line in smaps)
    except OSError:
        return False


def require():
    """Raise UnsupportedError, with the reason, unless the kernel's ksmd can be borrowed."""
    if not os.path.isdir(DIRECTORY):
        raise UnsupportedError(f"{DIRECTORY}: not there: this kernel has no KSM")
    if os.geteuid() != 0:
        raise UnsupportedError(f"{DIRECTORY}: only root can set its knobs: run as root")
    if not os.access(os.path.join(DIRECTORY, "run"), os.W_OK):
        raise UnsupportedError(f"{DIRECTORY}: can't be written to here: run outside of the container")
    if not os.path.exists(os.path.join(DIRECTORY, "smart_scan")):
        raise UnsupportedError(f"{DIRECTORY}/smart_scan: not there: this needs Linux 6.7 or later")


class LiveKsm:
    """ksmd while it is borrowed: a context manager.

    UnsupportedError when it can't be: see require(); another process has mergeable memory; pages are shared already.
    """

    def __init__(self):
        self._lock = self._guard = None
        self._step = 0
        self.saved = {}

    def __enter__(self):
        require()
        self._take_lock()
        try:
            others = mergeable_processes()
            if others:
                raise UnsupportedError(f"process {others[0]} has mergeable memory: ksmd would work on that too")
            self.saved = {name: read_file(name) for name in KNOBS if os.path.exists(os.path.join(DIRECTORY, name))}
            # while the advisor is on, pages_to_scan can't be set
            first = [("advisor_mode", "none")] if "advisor_mode" in self.saved else []
            values = json.dumps(first + [(name, str(value)) for name, value in self.saved.items()])
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _GUARD, DIRECTORY, values],
                stdin=subprocess.PIPE,
                pass_fds=[self._lock],
                start_new_session=True,
            )
            self.reset()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _take_lock(self):
        self._lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise UnsupportedError(f"{LOCK}: another program has borrowed ksmd: try again later") from None

    def __exit__(self, *_):
        if self._guard is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def reset(self, **knobs):
        """Unmerge everything, park ksmd, and set knobs: those not named get the kernel's defaults."""
        self.unmerge()
        defaults = {
            "advisor_mode": "none",  # while it is on, pages_to_scan can't be set
            "advisor_max_cpu": 70,
            "advisor_max_pages_to_scan": 30000,
            "advisor_min_pages_to_scan": 500,
            "advisor_target_scan_time": 200,
            "pages_to_scan": EVERYTHING,
            "max_page_sharing": 256,
            "merge_across_nodes": 1,
            "use_zero_pages": 0,
            "smart_scan": 1,
            "stable_node_chains_prune_millisecs": 2000,
        }
        for name, value in (defaults | knobs).items():
            if name in self.saved:
                write_knob(name, value)

    def unmerge(self):
        """Unmerge everything and park ksmd: the next scan begins anew."""
        write_knob("run", 2)
        write_knob("run", 0)
        self._wake()

    def _wake(self):
        """Let ksmd out of its sleep: it ends when this value is another than when it began."""
        self._step += 1
        write_knob("sleep_millisecs", NEVER_MILLISECS + self._step)

    def set(self, **knobs):
        """Set knobs."""
        for name, value in knobs.items():
            write_knob(name, value)

    def counters(self):
        """Return all counters: {name: int}."""
        return {name: read_file(name) for name in COUNTERS if name in COUNTERS}

    def scan(self, scans=1):
        """Let ksmd make that many full scans, one a wake-up, and sleep again."""
        self.set(pages_to_scan=EVERYTHING)
        for _ in range(scans):
            self._once()

    def scan_pages(self, pages):
        """Let ksmd wake up once with this pages_to_scan; it ends early at the end of a full scan."""
        self.set(pages_to_scan=pages)
        self._once()

    def _once(self):
        """Let ksmd wake up once. PksmError if it has nothing to scan."""
        before, end = _work_done(), time.monotonic() + SCAN_TIMEOUT_S
        if read_file("run") != 1:
            write_knob("run", 1)
        else:
            self._wake()
        while _work_done() == before:
            if time.monotonic() > end:
                raise PksmError(f"ksmd did nothing for {SCAN_TIMEOUT_S:g} s: there is nothing to scan")
            time.sleep(0.0005)
        _wait_for_sleep()


def _work_done():
    """What changes with every wake-up of ksmd that has something to scan."""
    return read_file("full_scans"), read_file("pages_scanned")


def thread():
    """Return the process id of ksmd. UnsupportedError if it can't be seen from here."""
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if pid.isdigit():
                with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as comm:
                    if comm.read() == "ksmd\n" and not os.path.exists(f"/proc/{pid}/exe"):
                        return int(pid)
    raise UnsupportedError("ksmd: no such kernel thread can be seen: run outside of the container")


def cpu_seconds(pid):
    """Return the seconds of CPU that a thread has used, to the nanosecond where the kernel tells."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def _wait_for_sleep():
    """Return when ksmd sleeps: what it counts behind the last full scan is counted then."""
    pid, end = thread(), time.monotonic() + SCAN_TIMEOUT_S
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            if file.read().rpartition(")")[2].split()[0] in "SI":
                return
        time.sleep(0.0005)
