"""The targets in Python, a file per subject: each has TARGETS, {name: Target}."""
