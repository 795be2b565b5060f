"""PKSM's pksmd: one item per physical page."""
