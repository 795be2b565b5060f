"""Memory in virtual time: clock, operations, traces, workloads."""
