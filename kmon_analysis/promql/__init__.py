"""PromQL: a stated subset, parsed to a frozen tree and evaluated over arrays."""
