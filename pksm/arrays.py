"""Names for the types of arrays: a signature says the dtype, its docstring the shape. And the distinct values of one."""

from collections.abc import Sequence
from mmap import mmap
from typing import Any, TypeAlias, TypeVar

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

Number = TypeVar("Number", bound=np.integer[Any])


def distinct(values: NDArray[Number]) -> NDArray[Number]:
    """Return the values that there are, each once, in order: the array itself if it is so already.

    As numpy.unique does, which takes ten times as long for a million, and loads numpy.ma when it is first called: a
    sandbox can load nothing.
    """
    if (values[1:] > values[:-1]).all():
        return values
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
