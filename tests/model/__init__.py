"""The C core in slow plain Python: what pksm's kernels, page trees and settle mean.

It shares nothing with the package it is compared with: no numpy, no import of pksm, only ints, bytes, lists and
dicts. Read page, checksums, tree, settle in this order; oracle says what must come out in the end.
"""
