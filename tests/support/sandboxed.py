"""What comes of reading files, by a worker or without one."""

import copy
from functools import partial

from pksm.errors import PksmError
from pksm.scan import Settings, scan
from pksm.sources import open_target, opened

PAGE = 4096


def outcome(paths, sandbox, settings=None):
    """The document of a scan, without what it took, and the errors; or the error."""
    try:
        with opened([partial(open_target, path, sandbox) for path in paths]) as (found, errors):
            document = scan(found, settings or Settings(show_bytes=settings is not None), errors=errors)
    except PksmError as error:
        return type(error), str(error)
    document = copy.deepcopy(document)
    del document["cost"], document["saving"]["engine_bytes"]  # what it took, and what it took of our memory
    return document, list(map(str, errors))
