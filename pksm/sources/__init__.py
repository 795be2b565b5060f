"""Memory that exists, as regions of pages: image files, live processes, fingerprints."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.sources.base import Allocation as Allocation
    from pksm.sources.base import Mapping as Mapping
    from pksm.sources.base import Region as Region
    from pksm.sources.base import Source as Source
    from pksm.sources.files import OpenFile as OpenFile
    from pksm.sources.opening import formats as formats
    from pksm.sources.opening import open_pid as open_pid
    from pksm.sources.opening import open_target as open_target
    from pksm.sources.opening import opened as opened
    from pksm.sources.opening import run_command as run_command
    from pksm.sources.sandboxed.sandbox import Sandbox as Sandbox
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Allocation": "pksm.sources.base",
            "Mapping": "pksm.sources.base",
            "OpenFile": "pksm.sources.files",
            "Region": "pksm.sources.base",
            "Sandbox": "pksm.sources.sandboxed.sandbox",
            "Source": "pksm.sources.base",
            "formats": "pksm.sources.opening",
            "open_pid": "pksm.sources.opening",
            "open_target": "pksm.sources.opening",
            "opened": "pksm.sources.opening",
            "run_command": "pksm.sources.opening",
        },
    )
