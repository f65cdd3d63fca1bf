"""Blocks as tasks of a Ray cluster. Knows Ray's tasks and resources, nothing of what a block computes."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from suite.execution.fleet import Chunk, JobLostError, Result, run_chunk
from suite.vocabulary import RequestError

if TYPE_CHECKING:
    from ray import ObjectRef

#: Seconds that the cluster's address has to take a connection.
KNOCK_SECONDS = 10.0


class RayFleet:
    """The cluster at ``address`` (null: at RAY_ADDRESS where that is set, else one started on this machine). A task takes one
    core, and on a GPU one GPU.
    """

    def __init__(self, address: str | None, data_dir: str) -> None:
        # neither usage statistics nor a page that others can open, unless the user asks
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise RequestError("executor=ray: Ray is not installed; pip install 'deadzone-suite[ray]'") from None
        self.ray: Any = ray
        self.data_dir = data_dir
        self.started = not ray.is_initialized()
        if self.started:
            place = address or os.environ.get("RAY_ADDRESS") or "local"
            # the cluster of one machine is that machine's own affair
            own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if place == "local" else {}
            if place != "local":
                _knock(place)
            ray.init(address=place, log_to_driver=False, logging_level="warning", **own)
        # a task whose worker or node dies is run again by Ray itself; an error of its own is not
        self.task = ray.remote(num_cpus=1, max_retries=3)(run_chunk)

    def submit(self, chunks: Sequence[Chunk]) -> list[ObjectRef[list[Result]]]:
        """One task per chunk, with a core, and on GPUs a GPU, for each process that its blocks take."""

        def needs(chunk: Chunk) -> dict[str, int]:
            ranks = chunk[0].ranks
            return {"num_cpus": ranks, "num_gpus": ranks * chunk[0].device.startswith("cuda")}

        return [self.task.options(**needs(chunk)).remote(chunk, self.data_dir) for chunk in chunks]

    def wait(self, handles: Sequence[ObjectRef[list[Result]]]) -> list[ObjectRef[list[Result]]]:
        """Those that have ended."""
        ended, _ = self.ray.wait(list(handles), num_returns=1)
        return list(ended)

    def result(self, handle: ObjectRef[list[Result]]) -> list[Result]:
        """Fetches what the task returned. Raises RequestError where it could not even begin: no code or no data there."""
        from ray.exceptions import ObjectLostError, RayTaskError, WorkerCrashedError

        try:
            found: list[Result] = self.ray.get(handle)
        except RayTaskError as error:
            raise RequestError(
                f"executor=ray: {str(error.cause).splitlines()[0]}; mend that where the tasks run, or use executor=local"
            ) from error
        except (WorkerCrashedError, ObjectLostError) as error:
            raise JobLostError(str(error).splitlines()[0]) from error
        return found

    def close(self, unfinished: Sequence[ObjectRef[list[Result]]]) -> None:
        """Cancels what still runs, and stops the cluster if it was started here."""
        for handle in unfinished:
            self.ray.cancel(handle, force=True)
        if self.started:
            self.ray.shutdown()


def _knock(address: str) -> None:
    """Raises RequestError where nothing listens at HOST:PORT; Ray itself would go on asking for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise RequestError(f"executor.address={address}: no Ray cluster answers there ({error}); it is written HOST:PORT") from error
