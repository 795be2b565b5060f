"""UKSM once more, visit by visit, in plain Python."""

from .daemon import SlowUksm

__all__ = ["SlowUksm"]
