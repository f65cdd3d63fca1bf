"""How many bytes a block takes: one process, one block. ``python -m tests.bench.memory REPLICATES`` prints them as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.workloads import WORKLOADS

#: All steps of the run are one stretch between two evaluations, so all their indices are drawn ahead.
STEPS = 100
WORKLOAD = WORKLOADS["digits"]


def status(field: str) -> int:
    """A field of /proc/self/status in bytes: VmRSS, what is resident now, or VmHWM, the most that ever was."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


def main(replicates: int) -> dict[str, int]:
    """Growth of the resident set from the moment before the block, libraries loaded and warm, to its highest point."""
    import torch

    from tests.bench.engine import block_of, dataset_of, timed_call

    torch.set_num_threads(1)
    dataset = dataset_of(WORKLOAD)
    timed_call(block_of(WORKLOAD, 2, 3), dataset)
    # "5" sets the highest point back to what is resident now (proc(5), clear_refs)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = status("VmRSS")
    timed_call(block_of(WORKLOAD, replicates, STEPS), dataset)
    return {"replicates": replicates, "growth": status("VmHWM") - before, "train": len(dataset.train_x), "test": len(dataset.test_x)}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
