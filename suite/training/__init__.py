"""The replicate-parallel engine: one stacked step trains every replicate of a block. Knows no study, disk or MLflow."""
