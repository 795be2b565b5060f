"""Names for the types of arrays: a signature says the dtype, its docstring the shape."""

from collections.abc import Sequence
from mmap import mmap
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

AnyArray: TypeAlias = NDArray[Any]
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.integer[Any]]
I8Array: TypeAlias = NDArray[np.int8]
I32Array: TypeAlias = NDArray[np.int32]
I64Array: TypeAlias = NDArray[np.int64]
U8Array: TypeAlias = NDArray[np.uint8]
U16Array: TypeAlias = NDArray[np.uint16]
U32Array: TypeAlias = NDArray[np.uint32]
U64Array: TypeAlias = NDArray[np.uint64]
StructArray: TypeAlias = NDArray[np.void]  # records, such as native.NODE

Pages: TypeAlias = U32Array  # page numbers of a store, or of a machine's frames
Ids: TypeAlias = U32Array  # of items
IdsLike: TypeAlias = IntArray | Sequence[int]  # what becomes Pages or Ids without loss
Buffer: TypeAlias = bytes | bytearray | memoryview | mmap | AnyArray
Contents: TypeAlias = AnyArray | bytes | bytearray | memoryview | Sequence[int]  # pages as bytes, or content ids
