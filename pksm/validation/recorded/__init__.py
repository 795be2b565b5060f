"""Against kernels that were booted and recorded."""
