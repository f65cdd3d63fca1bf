"""Hypothesis-driven benchmarks of learning where the gradient is zero."""

import os

__version__ = "0.1.0"

# Without it Intel's MKL may round a product differently by where a matrix lies in memory, and a replicate's last bits
# would depend on its place in the stack. MKL reads it once, at its first call; it costs nothing that could be measured.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
