"""Times the parts of a block's work: by the wall, and by what this thread worked. Knows nothing of what the parts do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import torch

#: ``order`` draws the batches, ``train`` takes steps, ``watch`` is what probes make of steps, ``evaluate`` the whole-set passes,
#: ``probe`` what probes make of those.
Part = Literal["order", "train", "watch", "evaluate", "probe"]
PARTS: tuple[Part, ...] = ("order", "train", "watch", "evaluate", "probe")


class Clock:
    """One clock per part, in seconds. ``wall`` runs on whatever else the machine does. ``worked``, on the CPU, is this thread's
    processor time (CLOCK_THREAD_CPUTIME_ID): blocks run on one thread, so that is all of the work, and it stands still while others
    have the core or a display thread draws. What neither keeps out is a neighbour's use of shared caches and the core's changing
    frequency. On an accelerator the work is not the thread's: there ``worked`` is the wall's, between synchronisations.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.wall: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
        self._worked: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        #: A view that moves with the clock.
        self.worked: Mapping[str, float] = MappingProxyType[str, float](self._worked)
        self.running: Part = "train"

    def __call__(self, part: Part) -> Clock:
        """The clock of a part, to be used with ``with``."""
        self.running = part
        return self

    def _read(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        wall = time.perf_counter()
        return wall, wall if self.device.type != "cpu" else time.thread_time()

    def __enter__(self) -> None:
        self.began = self._read()

    def __exit__(self, *unused: object) -> None:
        wall, worked = self._read()
        self.wall[self.running] += wall - self.began[0]
        self._worked[self.running] += worked - self.began[1]

    def timings(self, steps: int, count: int, batch: int) -> dict[str, float]:
        """The wall's clocks, and the rates of the training one, which includes drawing batches."""
        train = self.wall["order"] + self.wall["train"]
        rate = steps * count / train if train else 0.0
        return {
            "train_seconds": train,
            "evaluate_seconds": self.wall["evaluate"],
            "probe_seconds": self.wall["watch"] + self.wall["probe"],
            "replicate_steps_per_second": rate,
            "samples_per_second": rate * batch,
            "step_seconds": train / steps if steps else 0.0,
        }


def described(device: str) -> dict[str, str | float]:
    """Which clock times a block on this device, for the record."""
    if device != "cpu":
        return {"clock": "wall, between synchronisations", "resolution": time.get_clock_info("perf_counter").resolution}
    return {"clock": "processor time of the thread", "resolution": time.get_clock_info("thread_time").resolution}
