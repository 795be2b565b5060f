"""Encoders of memory images, written for the tests from the formats' descriptions."""
