"""Memory that exists, as regions of pages: image files, live processes, fingerprints."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.sources.base import Allocation, Mapping, Region, Source
    from pksm.sources.files import OpenFile
    from pksm.sources.opening import formats, open_pid, open_target, opened, run_command

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "Allocation": "pksm.sources.base",
        "Mapping": "pksm.sources.base",
        "OpenFile": "pksm.sources.files",
        "Region": "pksm.sources.base",
        "Source": "pksm.sources.base",
        "formats": "pksm.sources.opening",
        "open_pid": "pksm.sources.opening",
        "open_target": "pksm.sources.opening",
        "opened": "pksm.sources.opening",
        "run_command": "pksm.sources.opening",
    },
)
