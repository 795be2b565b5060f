"""The memory of many machines: what they share, how that grows with them, and which belong together."""
