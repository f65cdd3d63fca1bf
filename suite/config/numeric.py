"""The typed form of a condition's numeric configuration. Knows no Hydra: it reads the plain dictionary in a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Remedy, Start, Train


@dataclass(frozen=True)
class Numeric:
    """Everything of a condition that can change a number."""

    precision: str
    data: Data
    model: Model
    start: Start
    optimizer: Optimizer
    train: Train
    probes: Probes
    engine: Engine = field(default_factory=Engine)
    remedy: Remedy = field(default_factory=Remedy)

    @staticmethod
    def of(config: Mapping[str, Any]) -> Numeric:
        """Rebuild from ``Condition.config``. Raises TypeError for a key the schema does not have."""
        return Numeric(
            str(config["precision"]),
            Data(**config["data"]),
            Model(**config["model"]),
            Start(**config["start"]),
            Optimizer(**config["optimizer"]),
            Train(**config["train"]),
            Probes(**config["probes"]),
            Engine(**config["engine"]),
            # plans written before there were remedies have none
            Remedy(**config.get("remedy", {})),
        )
