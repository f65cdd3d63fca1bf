"""Results on disk: whole or not at all. Knows plans, traces and verdicts; never the engine."""
