"""KSM's ksmd: mapping by mapping."""
