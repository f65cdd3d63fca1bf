"""What is written: JSON with its environment and nothing private, and the page made from it."""

from __future__ import annotations

import json
import platform

import numpy as np
import pytest

from tests.bench import compare, observation, overhead, scaling, study
from tests.bench.environment import command, cpu_model, environment, version, write
from tests.bench.table import page
from tests.bench.test_figures import once, reading
from tests.bench.workloads import WORKLOADS


def test_cpu_model_is_read_from_cpuinfo():
    assert cpu_model("processor\t: 0\nmodel name\t: A Processor: fast\nflags\t: x\n") == "A Processor: fast"
    assert cpu_model("") == "unknown"


def test_environment_names_versions_and_no_host():
    found = environment()
    assert found["packages"]["numpy"] == np.__version__
    assert found["cores"] >= 1
    assert set(found) == {"date", "cpu", "cores", "system", "python", "packages", "threads", "load", "commit"}
    assert version("no-such-package") is None
    if len(platform.node()) > 5:
        assert platform.node() not in json.dumps(found)


def test_file_holds_command_environment_and_figures(tmp_path):
    path = tmp_path / "deep" / "figures.json"
    write(path, "what it is", command("tests.bench.compare", ["--rounds", "3"]), {"date": "today"}, {"x": 1.5})
    found = json.loads(path.read_text())
    assert found["what"] == "what it is"
    assert found["command"] == "python -m tests.bench.compare --rounds 3"
    assert found["environment"]["date"] == "today"
    assert len(found["environment"]["load_at_end"]) == 3
    assert found["x"] == 1.5
    with pytest.raises(ValueError, match="JSON"):
        write(path, "", "", {}, {"x": float("nan")})


def test_page_shows_every_file_and_only_what_they_hold(tmp_path):
    timed = {name: once(1.0) for name in ("ours", "ours eager", "loop", "sgemm", "ours ×2", "sgemm ×2", "jax", "jax ×2", "jax default")}
    facts = {
        "layers": [64, 32, 10],
        "batch": 64,
        "replicates": 32,
        "steps": 300,
        "data": "digits, 1442 training examples",
        "path": "native",
    }
    facts["agreement"] = {"steps": 40, "tolerance": 1e-4, "largest_relative_difference": {"loop": 2e-7}}
    engine = {"workloads": {"digits": facts | compare.assess(WORKLOADS["digits"], timed, dict.fromkeys(timed, 1))}}
    speeds = {("loop", "1"): once(0.3), ("ours", "1"): once(0.1)}
    points = [{"workload": "digits", "replicates": 128, "path": "native", "growth": 10**7, "terms": {"parameters": 10**7}}]
    readings = {"seconds": [1.0], "probes": [0.1], "evaluation": [0.5], "wall": [2.0], "cpu": [1.0]}
    walls = {name: [3.0] for name in study.COMMANDS}
    bodies = {
        "engine": engine,
        "scaling": {"speed": scaling.assess_speed(speeds), "memory": scaling.assess_memory(points)},
        "observation": observation.assess({"none": readings, "default": readings}),
        "study": study.assess(walls, {"training": 1.0}, 320),
        "overhead": overhead.assess({"momentum": [(reading(20.0), reading(5.0))]}),
        "parts": {"seconds": {"a_part": {"minimum": 0.001, "median": 0.002, "rounds": 9}}},
    }
    assert page(tmp_path).count("## ") == 0
    for name, body in bodies.items():
        write(tmp_path / f"{name}.json", f"what {name} is", f"make {name}", environment(), body)
    text = page(tmp_path)
    for name in bodies:
        assert f"what {name} is" in text
        assert f"`make {name}`" in text
    assert "| a_part | 1 (2) | 9 |" in text
    assert "| momentum: record, report and MLflow as a share of the study's wall time | 0.1 | ≤ 0.05 | no |" in text
    assert "| ours / torch loop, R = 1 | 3 | ≥ 1 | yes |" in text
    assert "| ours / torch loop, R = 32, one core | 8 | ≥ 30 | no |" in text
