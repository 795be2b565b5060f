"""Landlock: this process opens no path, binds and connects no TCP port, and signals nobody outside, from now on."""

import ctypes
import os
import struct

from pksm.linux.sandbox import system_call

CREATE_RULESET, RESTRICT_SELF = 444, 446  # the same number on every architecture
_VERSION = 1  # the flag that asks for the ABI
# What each ABI has learned to handle, as counts of bits: (ABI, rights on files), rights on TCP ports, scopes.
_FILE_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
_PORTS_SINCE, _PORT_RIGHTS = 4, 2
_SCOPES_SINCE, _SCOPES = 6, 2


def abi() -> int:
    """Return the kernel's version of Landlock, 0 where there is none."""
    try:
        return system_call.call(CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict() -> bool:
    """Give up all that this kernel's Landlock handles: no path is an exception. The process has no_new_privs already.

    What is open stays open, and /proc/PID/mem of others and process_vm_readv fail from now on.

    Returns:
        Whether the kernel has done it.
    """
    version = abi()
    if not version:
        return False
    try:
        ruleset = system_call.call(CREATE_RULESET, *_attributes(version), 0)
        try:
            system_call.call(RESTRICT_SELF, ruleset, 0)
        finally:
            os.close(ruleset)
    except OSError:
        return False
    return True


def _attributes(version: int) -> tuple[ctypes.Array[ctypes.c_char], int]:
    """Return struct landlock_ruleset_attr as this ABI knows it, and its size."""
    bits = max(count for since, count in _FILE_RIGHTS if since <= version)
    fields = [(1 << bits) - 1]
    if version >= _PORTS_SINCE:
        fields.append((1 << _PORT_RIGHTS) - 1)
    if version >= _SCOPES_SINCE:
        fields.append((1 << _SCOPES) - 1)
    data = struct.pack(f"={len(fields)}Q", *fields)
    return ctypes.create_string_buffer(data, len(data)), len(data)
