"""pytest-benchmark's JSON in this project's form: small, with our environment and no host name."""

from __future__ import annotations

import pytest

from tests.bench.environment import environment
from tests.bench.figures import significant


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config, benchmarks, output_json):
    seconds = {
        one["name"]: {
            "minimum": significant(one["stats"]["min"]),
            "median": significant(one["stats"]["median"]),
            "rounds": one["stats"]["rounds"],
        }
        for one in output_json["benchmarks"]
    }
    here = environment()
    output_json.clear()
    output_json.update(
        what="Parts of the engine in one process of one thread (digits, 64-32-10, batch 64, R = 32), timed by pytest-benchmark.",
        command="make bench",
        environment=here | {"load_at_end": here["load"]},
        seconds=seconds,
    )
