"""Stacked networks: every parameter carries a leading replicate dimension. Knows no data, loss or optimizer."""
