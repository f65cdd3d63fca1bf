"""Blocks as Slurm array jobs, through submitit. Knows job scripts and job states, nothing of what a block computes.

submitit keeps what it sends and gets back as pickles in ``executor.slurm.folder``, which must lie on a file system that the
nodes share; only jobs of one's own are read from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.config.schema import Slurm
from suite.execution.fleet import Chunk, JobLostError, Result, run_chunk
from suite.vocabulary import RequestError

if TYPE_CHECKING:
    from submitit import Job

#: Seconds between looks at the jobs; submitit itself asks Slurm less often.
POLL_SECONDS = 0.2


class ChunkJob:
    """What a job does: its chunk, from the beginning if it is preempted or reaches its time limit and is queued again."""

    def __init__(self, chunk: Chunk, data_dir: str) -> None:
        self.chunk = chunk
        self.data_dir = data_dir

    def __call__(self) -> list[Result]:
        """Train the chunk."""
        return run_chunk(self.chunk, self.data_dir)

    def checkpoint(self) -> object:
        """Blocks are atomic, so the job starts over."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmFleet:
    """A Slurm cluster, or with ``executor.slurm.cluster=local`` this machine in its place."""

    def __init__(self, slurm: Slurm, data_dir: str) -> None:
        try:
            import submitit
        except ImportError:
            raise RequestError("executor=slurm: submitit is not installed; pip install 'deadzone-suite[slurm]'") from None
        self.data_dir = data_dir
        try:
            self.executor = submitit.AutoExecutor(folder=Path(slurm.folder), cluster=slurm.cluster)
        except RuntimeError as error:
            raise RequestError(
                f"executor.slurm.cluster={slurm.cluster}: {error}; local runs the same jobs on this machine without Slurm"
            ) from error
        self.executor.update_parameters(
            name="deadzone", nodes=1, tasks_per_node=1, cpus_per_task=1, timeout_min=slurm.timeout_min, mem_gb=slurm.mem_gb
        )
        if slurm.cluster == "slurm":
            optional = {"slurm_partition": slurm.partition, "slurm_account": slurm.account, "slurm_qos": slurm.qos}
            self.executor.update_parameters(**{key: value for key, value in optional.items() if value is not None})

    def submit(self, chunks: Sequence[Chunk]) -> list[Job[list[Result]]]:
        """One array job over the chunks; a core, and on GPUs a GPU, for each process that a block takes."""
        ranks, on_gpu = chunks[0][0].ranks, chunks[0][0].device.startswith("cuda")
        self.executor.update_parameters(cpus_per_task=ranks, gpus_per_node=ranks * on_gpu)
        with self.executor.batch():
            return [self.executor.submit(ChunkJob(chunk, self.data_dir)) for chunk in chunks]

    def wait(self, handles: Sequence[Job[list[Result]]]) -> list[Job[list[Result]]]:
        """Looks at the jobs until one has ended."""
        while not (ended := [job for job in handles if job.done()]):
            time.sleep(POLL_SECONDS)
        return ended

    def result(self, handle: Job[list[Result]]) -> list[Result]:
        """Reads what the job left."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            found: list[Result] = handle.results()[0]
        except FailedJobError as error:
            raise RequestError(f"Slurm job {handle.job_id}: {_last_line(error)}; its log in {self.executor.folder} tells more") from error
        except UncompletedJobError as error:
            raise JobLostError(f"Slurm job {handle.job_id}: {str(error).splitlines()[0]}") from error
        return found

    def close(self, unfinished: Sequence[Job[list[Result]]]) -> None:
        """Cancels the jobs; a study that was stopped must not leave a cluster computing for it."""
        for job in unfinished:
            job.cancel(check=False)


def _last_line(error: Exception) -> str:
    """Of a traceback, the line that names the error."""
    return str(error).strip().splitlines()[-1]
