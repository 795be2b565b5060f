"""The extension, which csrc/build_ffi.py compiles: cffi gives it no types."""

from typing import Any

ffi: Any
lib: Any
