"""Measures this machine: `make bench`, or `python -m bench --help`. docs/benchmarks.md says what and how."""
