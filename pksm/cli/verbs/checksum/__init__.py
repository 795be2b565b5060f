"""The group of verbs about checksums, one file per verb."""
