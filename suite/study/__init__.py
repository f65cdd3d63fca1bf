"""The story of one study: plan, blocks, run, decide, record, show."""
