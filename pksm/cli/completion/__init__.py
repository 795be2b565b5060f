"""Completion: what can stand at the end of a command line, and the scripts of the shells that ask."""
