"""Checksum strategies by name, and plug-ins of your own: what pksm.engine.checksums offers."""

from pksm.engine.checksums import Plugin, describe, is_exact, make, names, register, unregister

__all__ = ["Plugin", "describe", "is_exact", "make", "names", "register", "unregister"]
