"""Ours against kernels."""
