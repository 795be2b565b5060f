"""pyarrow, with which tables are written as Parquet files: the extra `arrow`."""

import importlib
from typing import Any

from pksm.errors import UnsupportedError

MAGIC = b"PAR1"  # of a Parquet file


def library() -> Any:
    """Return pyarrow. UnsupportedError if it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UnsupportedError("Parquet takes pyarrow, which is not installed: pip install 'pksm[arrow]'") from None
