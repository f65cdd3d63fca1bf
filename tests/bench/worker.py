"""A process that is told by lines of JSON what to prepare and when to run. One contestant lives in it, warm and waiting.

Lines in: {"prepare": key, ...job}, {"run": key}, {"agree": file, "workload": name}. Each is
answered by one line, in which ``error`` says what went wrong.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from tests.bench.agreement import SOLVERS
from tests.bench.contestants import CONTESTANTS, Call
from tests.bench.workloads import WORKLOADS


def answer(contestant: str, calls: dict[str, Call], order: dict[str, Any]) -> dict[str, Any]:
    """Do what one line asks."""
    if "prepare" in order:
        calls[order["prepare"]] = CONTESTANTS[contestant](order)
        return {"ready": order["prepare"]}
    if "run" in order:
        cpu = time.process_time()
        timed = calls[order["run"]]()
        return timed | {"cpu": time.process_time() - cpu}
    import numpy as np

    with np.load(order["agree"]) as problem:
        return {"losses": SOLVERS[contestant](WORKLOADS[order["workload"]], dict(problem))}


def main(contestant: str) -> None:
    """Answer until the input ends."""
    calls: dict[str, Call] = {}
    for line in sys.stdin:
        try:
            reply = answer(contestant, calls, json.loads(line))
        except Exception as error:  # the parent must hear of whatever it is
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
