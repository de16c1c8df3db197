"""Benchmarks: `python -m tests.benchmarks NAME`. They measure ratios on one machine, and are not collected as tests."""
