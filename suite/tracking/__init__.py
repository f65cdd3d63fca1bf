"""MLflow as a mirror of finished records. Knows studies and record folders; never the engine, never the only copy."""

from suite.tracking.links import Links, TrackingUnavailable

__all__ = ["Links", "TrackingUnavailable"]
