"""The benchmarks run, and are not deceived."""
