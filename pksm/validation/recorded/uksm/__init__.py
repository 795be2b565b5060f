"""Recordings of kernels with UKSM, beside the policy uksm on the simulated machine."""
