"""/proc as numbers and arrays."""
