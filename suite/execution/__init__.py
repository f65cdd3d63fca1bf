"""Where blocks run. Moves blocks and traces; decides nothing about their numbers."""

from suite.execution.run import execute

__all__ = ["execute"]
