"""Benchmarks: they measure, and decide nothing. Ratios within one run are what counts."""
