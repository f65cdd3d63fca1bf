"""Hypothesis-driven benchmarks of learning where the gradient is zero."""

__version__ = "0.1.0"
