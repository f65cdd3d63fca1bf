"""A worker process that can be lost: one task at a time, replaced when the kernel kills it, gone when its parent is.

One pool of one process each, since a pool of several gives up all of its tasks when one process dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

T = TypeVar("T")

#: How often a block is given to a new process after its process died; every time in smaller pieces but the first.
DEATHS = 3


class Died(RuntimeError):
    """The process ended before its task did; the message says how."""


class Worker:
    """A process, started when it is first given something to do. Of the GPUs it sees those it is given."""

    def __init__(self, gpus: Sequence[int] = ()) -> None:
        self.gpus = tuple(gpus)
        self.pool: ProcessPoolExecutor | None = None
        self.process: Any = None
        self.future: Future[Any] | None = None

    def submit(self, task: Callable[..., T], *arguments: Any) -> Future[T]:
        """Begin a task."""
        if self.pool is None:
            # spawn: a forked child of a process that holds OpenMP or CUDA state may hang
            self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(self.gpus,))
        # Ctrl-C reaches every process of a terminal; the parent alone decides, from the child's first instruction on
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future = self.pool.submit(task, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.future = future
        self.process = next(iter((self.pool._processes or {}).values()), self.process)
        return future

    def result(self, future: Future[T]) -> T:
        """The task's result. Raises Died where the process was lost, after which the next task gets a new one."""
        try:
            return future.result()
        except BrokenProcessPool:
            process, pool, self.pool, self.process = self.process, self.pool, None, None
            if pool is not None:
                pool.shutdown(wait=True)  # its own thread collects the exit code
            raise Died(how_it_ended(None if process is None else process.exitcode)) from None

    def stop(self) -> None:
        """End the process, whatever it is doing; a task under way is dropped."""
        if self.pool is None:
            return
        if self.process is not None and self.future is not None and not self.future.done():
            self.process.kill()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = None


def how_it_ended(code: int | None) -> str:
    """In words, from its exit code."""
    if code is None or code >= 0:
        return f"ended (exit code {code})"
    by = "for want of memory, perhaps" if -code == signal.SIGKILL else "by a fault in compiled code, perhaps"
    return f"was killed by signal {-code} ({by})"


def _begin(gpus: Sequence[int]) -> None:
    if gpus:
        # before anything touches CUDA, for which these are then all there are
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()


def end_with_parent() -> None:
    """A worker whose parent was killed would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
