"""What an adviser takes for worth it, and for enough."""

from dataclasses import dataclass

from pksm.errors import UsageError
from pksm.scan.settings import WITHIN

TENANTS = ("user", "cgroup", "vm")


@dataclass(frozen=True)
class Settings:
    """What counts as worth it. Raises UsageError for a value that can't be.

    Args:
        page_size: bytes; None: those of fingerprints, else 4096.
        threads: that compute checksums.
        preset: of ksmd, whose settings are advised on.
        least_percent: of the machine's memory that KSM must save, net of its records.
        least_bytes: that it must save besides.
        enough: share of the best mean saving that is enough, if it takes less CPU than the best.
        period_ms: of virtual time that savings are averaged over.
        again_seconds: between two looks at live processes, to see what they write; None: one look alone.
        tenants: who must not share with each other, one of TENANTS; None: guests if there are several, else users.
        within: what is simulated merges only within such parts, one of scan.settings.WITHIN; Linux has KSM for all alone.
    """

    page_size: int | None = None
    threads: int = 1
    preset: str = "ksm-6.11"
    least_percent: float = 1.0
    least_bytes: int = 64 << 20
    enough: float = 0.9
    period_ms: int = 3_600_000
    again_seconds: float | None = None
    tenants: str | None = None
    within: str = "all"

    def __post_init__(self) -> None:
        if not 0 <= self.least_percent <= 100:
            raise UsageError(f"{self.least_percent}: give a percentage of memory, from 0 to 100", "least_percent")
        if self.least_bytes < 0:
            raise UsageError(f"{self.least_bytes}: give bytes from 0", "least_bytes")
        if not 0 < self.enough <= 1:
            raise UsageError(f"{100 * self.enough:g} %: give more than 0, and 100 % at most", "enough")
        if self.period_ms < 1000:
            raise UsageError(f"{self.period_ms} ms: give a second at least", "period_ms")
        if self.again_seconds is not None and not 0 < self.again_seconds <= 86400:
            raise UsageError(f"{self.again_seconds}: give seconds above 0, a day at most", "again_seconds")
        if self.tenants is not None and self.tenants not in TENANTS:
            raise UsageError(f"unknown tenants {self.tenants!r}: choose from {', '.join(TENANTS)}", "tenants")
        if self.within not in WITHIN:
            raise UsageError(f"unknown part {self.within!r}: choose from {', '.join(WITHIN)}", "within")

    def least(self, of_bytes: int) -> float:
        """Return the bytes that a saving must reach to be worth it, of so many bytes of memory."""
        return max(self.least_bytes, of_bytes * self.least_percent / 100)
