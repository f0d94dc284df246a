"""Benchmarks: every claim of speed is a ratio printed here, against a named baseline of the same run."""
