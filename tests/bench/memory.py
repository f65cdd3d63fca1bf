"""How many bytes a block takes: one process, one block.

``python -m tests.bench.memory WORKLOAD REPLICATES PATH`` prints them as JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

from tests.bench.workloads import WORKLOADS

#: All steps of the run are one stretch between two evaluations, so all their indices are drawn ahead.
STEPS = 100
#: Of the larger data, for the time they take; the data themselves are a term of their own.
EXAMPLES = 10_000
#: What the C library is told: all but small pieces are given back to the system when freed, so that what is resident is what is held.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_TRIM_THRESHOLD_": "4096"}


def status(field: str) -> int:
    """A field of /proc/self/status in bytes: VmRSS, what is resident now, or VmHWM, the most that ever was."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


def main(name: str, replicates: int, path: str) -> dict[str, Any]:
    """Growth of the resident set from the moment before the block, libraries loaded and warm, to its highest point; and what
    is predicted, term by term.
    """
    import torch

    from suite.config.numeric import Numeric
    from suite.training.engine import network_of
    from suite.training.memory import block_bytes
    from tests.bench.engine import block_of, dataset_of, timed_call

    torch.set_num_threads(1)
    workload = WORKLOADS[name]
    dataset = dataset_of(workload, EXAMPLES)
    timed_call(block_of(workload, 2, STEPS, path=path), dataset)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    # "5" sets the highest point back to what is resident now (proc(5), clear_refs)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = status("VmRSS")
    block = block_of(workload, replicates, STEPS, path=path)
    timed_call(block, dataset)
    growth = status("VmHWM") - before
    numeric = Numeric.of(block.condition.config)
    train, test = len(dataset.train_x), len(dataset.test_x)
    terms = block_bytes(numeric, network_of(numeric, dataset), train, test, replicates, path)
    return {"workload": name, "replicates": replicates, "path": path, "growth": growth, "terms": terms}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
