"""What a target is, what was measured of it, and whether that reaches it."""

import time
from dataclasses import dataclass, field
from statistics import median

from pksm.bench import statistics
from pksm.bench.yardsticks import Ground, limits

YARDSTICK_PAGES = 1 << 16  # far more than a cache holds
REPEATS_OF_READ = 5


@dataclass(frozen=True)
class Target:
    """A row of the table of targets. must, aim: None where there is none; more: the more the better."""

    what: str
    unit: str
    must: float | None
    aim: float | None
    more: bool = False


@dataclass
class Finding:
    """A target, and the samples of what was measured; their median counts. remark: the yardstick of the same run."""

    name: str
    target: Target
    samples: list[float]
    remark: str

    @property
    def value(self):
        return median(self.samples)

    @property
    def interval(self):
        return statistics.interval(self.samples)

    @property
    def verdict(self):
        target = self.target
        if target.must is None:
            return "no target"
        for name, bound in (("aim", target.aim), ("must", target.must)):
            if self.value >= bound if target.more else self.value <= bound:
                return name
        short = 1 - self.value / target.must if target.more else self.value / target.must - 1
        return f"short by {100 * short:.0f} %"

    @property
    def is_sure(self):
        """Whether all of the interval lies on the median's side of `must`."""
        must = self.target.must
        return must is None or len({end >= must for end in (*self.interval, self.value)}) == 1

    def as_dict(self):
        low, high = self.interval
        return {
            "name": self.name,
            **vars(self.target),
            "value": self.value,
            "low": low,
            "high": high,
            "samples": self.samples,
            "verdict": self.verdict,
            "remark": self.remark,
        }

    def line(self):
        """A line for people."""
        target, (low, high) = self.target, self.interval
        sign = ">=" if target.more else "<="
        bounds = "" if target.must is None else f"must {sign} {target.must:g}, aim {sign} {target.aim:g}"
        value = f"{self.value:8.3g} {target.unit:6} ({low:.3g} to {high:.3g}, {len(self.samples)} runs)"
        sure = "" if self.is_sure else " ?"
        return f"{self.verdict + sure:15} {self.name:18} {target.what:58} {value:42} {bounds:24} {self.remark}".rstrip()


@dataclass
class Findings:
    """All of a run. repeats: samples of each; most_s: no more samples of a row after so many seconds."""

    targets: dict
    wanted: set
    repeats: int
    most_s: float
    found: list = field(default_factory=list)
    ours_s: float = 0.0  # CPU time that others have worked for us
    _ground: Ground | None = None

    def wants(self, *names):
        """Return whether one of these rows is to be measured."""
        return bool(self.wanted & set(names))

    def add(self, name, samples, remark=""):
        """Keep what was measured and print it, if it was asked for."""
        if name in self.wanted:
            self.found.append(Finding(name, self.targets[name], [float(one) for one in samples], remark))
            print(self.found[-1].line(), flush=True)

    def read(self):
        """Measure the yardstick and return a remark that holds it."""
        if self._ground is None:
            self._ground = Ground(YARDSTICK_PAGES)
            self._ground.fill("a")
        job, times = limits(self._ground)[0], []
        for _ in range(REPEATS_OF_READ):
            began = time.process_time()
            job.work(None)
            times.append(time.process_time() - began)
        return f"read {1e9 * median(times) / YARDSTICK_PAGES:.0f} ns per page"

    def samples(self, measure):
        """Return what measure() returns, `repeats` times, or fewer when most_s are over."""
        began, found = time.monotonic(), []
        while len(found) < self.repeats and (not found or time.monotonic() - began < self.most_s):
            found.append(measure())
        return found


def ratios(rows, over, under):
    """Return one row's CPU time over another's, round by round."""
    return [one / other for one, other in zip(rows[over], rows[under], strict=True)]


def by_engine(rows):
    """Return {engine: CPU seconds of each run}."""
    return {row["engine"]: row["cpu_samples_s"] for row in rows}
