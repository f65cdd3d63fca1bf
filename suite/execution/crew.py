"""Processes on this machine that train one block together. Starts them, listens to them, ends them; knows no arithmetic.

A crew stays for the next block. When one of its processes is lost, or cannot go on, the others would wait in an exchange for ever:
all are ended at once, and the next block gets new ones.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from suite.execution.worker import Died, end_with_parent, how_it_ended
from suite.vocabulary import Block, RequestError, Trace

#: Seconds that a rank waits for another in an exchange: all do the same work, so a longer wait means that one hangs.
PATIENCE_SECONDS = 600.0
#: Seconds given to a rank that ended to be noticed, once another has lost touch with it.
CAUSE_SECONDS = 10.0

#: Told after every evaluation: replicate-steps since the last call, and the mean dead fraction (None if not measured).
Report = Callable[[int, float | None], None]


class RankError(RuntimeError):
    """What stopped one of the processes; ``details`` is its traceback."""

    def __init__(self, text: str, details: str) -> None:
        super().__init__(text)
        self.details = details


class Crew:
    """``count`` processes for blocks on ``device``; on CUDA the first GPUs this process sees, one each."""

    def __init__(self, count: int, device: str) -> None:
        self.count, self.device = count, device
        self.members: list[tuple[Any, Connection]] = []
        self.folder: tempfile.TemporaryDirectory[str] | None = None

    def train(self, block: Block, data_dir: str, report: Report | None = None) -> Trace:
        """The block's trace, rank 0's. Raises Died where a process was lost, MemoryError where one had too little, RequestError where
        the data are wrong, and RankError for what else stopped one.
        """
        try:
            self._start()
            return self._listen(block, data_dir, report)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the processes, whatever they are doing."""
        members, self.members = self.members, []
        for process, _ in members:
            process.kill()
        for process, connection in members:
            process.join()
            process.close()
            connection.close()
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None

    def _start(self) -> None:
        if self.members:
            return
        # spawn: a forked child of a process that holds OpenMP or CUDA state may hang
        context = multiprocessing.get_context("spawn")
        self.folder = tempfile.TemporaryDirectory(prefix="deadzone-ranks-")
        meeting = str(Path(self.folder.name) / "meeting")
        gpus = _gpus(self.count) if self.device.startswith("cuda") else [None] * self.count
        # Ctrl-C reaches every process of a terminal; the parent alone decides, from the child's first instruction on
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for rank, gpu in enumerate(gpus):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, rank, self.count, meeting, gpu), daemon=True)
                process.start()
                theirs.close()
                self.members.append((process, ours))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _listen(self, block: Block, data_dir: str, report: Report | None) -> Trace:
        for rank, (_, connection) in enumerate(self.members):
            try:
                connection.send((block, data_dir, rank == 0 and report is not None))
            except OSError:
                raise self._died(rank) from None
        waiting = {connection: rank for rank, (_, connection) in enumerate(self.members)}
        trace: Trace | None = None
        lost: tuple[float, str] | None = None
        while waiting:
            ready = wait([*waiting], None if lost is None else max(lost[0] - time.monotonic(), 0.0))
            if not ready and lost is not None:
                raise Died(lost[1])
            for connection, rank in [(each, rank) for each, rank in waiting.items() if each in ready]:
                try:
                    said, body = connection.recv()
                except (EOFError, ConnectionResetError):
                    raise self._died(rank) from None
                if said == "steps" and report is not None:
                    report(*body)
                elif said == "done":
                    trace = body if rank == 0 else trace
                    del waiting[connection]
                elif said == "lost":
                    # the cause is another rank's, and may be about to be known
                    lost = lost or (time.monotonic() + CAUSE_SECONDS, f"process {rank} of {self.count} lost touch with the others ({body})")
                    del waiting[connection]
                elif said == "failed":
                    self._raise(rank, *body)
        if trace is None:
            raise Died(lost[1] if lost else "the processes ended without a trace")
        return trace

    def _died(self, rank: int) -> Died:
        process = self.members[rank][0]
        process.join(CAUSE_SECONDS)
        return Died(f"process {rank} of {self.count} {how_it_ended(process.exitcode)}")

    def _raise(self, rank: int, kind: str, cause: str, details: str) -> None:
        if kind == "request":
            raise RequestError(cause)
        if kind == "memory":
            raise MemoryError(f"{cause} (process {rank} of {self.count})")
        raise RankError(f"{cause} (process {rank} of {self.count})", details)


#: This process's crew, kept from block to block: starting one takes as long as importing torch.
_kept: list[Crew] = []


def train_together(block: Block, data_dir: str, report: Report | None = None) -> Trace:
    """The trace of a block whose ``ranks`` share every batch, by this process's crew. Raises as ``Crew.train``."""
    if not _kept or (_kept[0].count, _kept[0].device) != (block.ranks, block.device):
        dismiss()
        _kept.append(Crew(block.ranks, block.device))
    return _kept[0].train(block, data_dir, report)


def dismiss() -> None:
    """End this process's crew, if there is one."""
    while _kept:
        _kept.pop().stop()


def backend_of(device: str) -> str:
    """What the ranks talk through."""
    return "nccl" if device.startswith("cuda") else "gloo"


def _gpus(count: int) -> list[str | None]:
    """As CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names: list[str | None] = [*visible.split(",")] if visible else [str(index) for index in range(count)]
    return names[:count]


def _serve(connection: Connection, rank: int, count: int, meeting: str, gpu: str | None) -> None:
    """What each process does: train the blocks it is sent, until there are no more."""
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    # the ranks are all on this machine, and nobody else needs to reach them
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
    import torch
    import torch.distributed as dist

    from suite.training.ranks import Ranks

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo" if gpu is None else "nccl",
        init_method=Path(meeting).as_uri(),
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=PATIENCE_SECONDS),
        device_id=None if gpu is None else torch.device("cuda", 0),
    )
    while True:
        try:
            block, data_dir, told = connection.recv()
        except EOFError:
            return
        connection.send(_answer(block, data_dir, Ranks(rank, count), connection if told else None))


def _answer(block: Block, data_dir: str, ranks: Any, listener: Connection | None) -> tuple[str, Any]:
    """("done", trace or None), ("lost", how) where another rank has gone, or ("failed", (kind, cause, details))."""
    from suite.execution.attempt import cause_of, dataset_of, is_out_of_memory
    from suite.training.device import settle
    from suite.training.engine import train_block
    from suite.training.ranks import PeerLostError

    report = None if listener is None else lambda steps, dead: listener.send(("steps", (steps, dead)))
    settle(block.device)
    try:
        trace = train_block(block, dataset_of(block, data_dir), report, ranks)
    except PeerLostError as error:
        return "lost", cause_of(error)
    except RequestError as error:
        return "failed", ("request", str(error), "")
    except Exception as error:  # told to the parent, which ends the others
        return "failed", ("memory" if is_out_of_memory(error) else "other", cause_of(error), traceback.format_exc())
    return "done", trace if ranks.rank == 0 else None
