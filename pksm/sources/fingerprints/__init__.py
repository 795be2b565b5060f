"""Files of fingerprints, which stand for the memory of a machine: two checksums per page, and no bytes of it."""
