"""Readers of live processes."""
