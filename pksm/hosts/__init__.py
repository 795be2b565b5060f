"""Whose memory it is: pages that are mapped once each, and the simulated machine."""
