"""Benchmarks: kapcare beside what bare parts allow and beside what most would build, in one run on one machine."""
