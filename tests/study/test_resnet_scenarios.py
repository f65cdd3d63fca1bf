"""Scenarios on a residual network and image data, from the command line to a verdict. The designs are the registered ones, with
fewer steps, thinner networks and smaller batches; the data are made here in the real file formats.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from pathlib import Path

import cifar_files
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from suite.__main__ import main
from suite.config.paths import SCENARIOS
from suite.data import vision

#: What stands in for the registered widths, batch sizes, numbers of steps and moments of remedies.
SMALLER = {
    "model.width": {8: 1, 32: 2, 128: 3},
    "train.batch_size": {64: 8, 1024: 8},
    "train.steps": {30: 2, 300: 2, 500: 2, 3000: 6},
    "train.tasks": {30: 3},
    "remedy.every": {100: 2, 50: 1},
    "remedy.at": {2900: 4},
}
DEPTH = {"model.depth": {2: 1, 4: 2}}


def smaller(key: str, value: object) -> object:
    levels = (SMALLER | DEPTH).get(key, {})
    return levels.get(value, value) if isinstance(value, int) else value


def tiny(name: str, folder: Path) -> None:
    """The scenario as ``tiny_<name>``, everything but its sizes as registered."""
    body = yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())
    body["scenario"]["name"] = f"tiny_{name}"
    conditions = body["scenario"]["conditions"]
    body["scenario"]["conditions"] = {
        condition: {key: smaller(key, level) for key, level in levels.items()} for condition, levels in conditions.items()
    }
    for section in ("model", "train"):
        for key, value in body[section].items():
            body[section][key] = smaller(f"{section}.{key}", value)
    body["probes"]["every"] = 2
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"tiny_{name}.yaml").write_text(yaml.safe_dump(body, sort_keys=False))


def idx(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_fashion(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (40, 28, 28)), np.arange(40) % 10, rng.integers(0, 256, (10, 28, 28)), np.arange(10)]
    contents = {part: idx(array.astype(np.uint8)) for part, array in zip(vision.PARTS, arrays, strict=True)}
    folder.mkdir()
    for part, content in contents.items():
        (folder / f"{part}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(vision, "DEBIAN_FASHION", folder)
    monkeypatch.setattr(vision, "FASHION_MD5", {part: hashlib.md5(content).hexdigest() for part, content in contents.items()})


@pytest.mark.parametrize(
    ("scenario", "data"),
    [
        ("natural_death", "cifar10"),
        ("batchnorm", "cifar10"),
        ("factorial", "cifar10"),
        ("plasticity", "cifar10"),
        ("batchnorm", "fashion_mnist"),
    ],
)
def test_a_scenario_gets_through_to_a_verdict(scenario, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if data == "cifar10":
        cifar_files.write(tmp_path / "data", monkeypatch, train=8)
    else:
        write_fashion(tmp_path / "debian", monkeypatch)
    tiny(scenario, tmp_path / "my" / "scenario")
    sized = [] if scenario == "natural_death" else ["model.width=2", "model.depth=1"]
    asked = ["model=resnet18", f"data={data}", "replicates=2", "tracking=off", "device=cpu", "quiet=true", *sized]
    code = main(["--config-dir", "my", f"+scenario=tiny_{scenario}", *asked])
    said = capsys.readouterr()
    # a few steps on noise need not pass the controls: 0 is done, 3 a failed control, and there is a record in either case
    assert code in (0, 3), said.err
    record = tmp_path / "results" / f"tiny_{scenario}"
    verdict = json.loads((record / "verdict.json").read_text())
    assert verdict["status"] == ("exploratory" if code == 0 else "invalid")
    registered = yaml.safe_load((SCENARIOS / f"{scenario}.yaml").read_text())["scenario"]
    assert verdict["hypotheses"].keys() == registered["hypotheses"].keys()
    assert {h["verdict"] for h in verdict["hypotheses"].values()} <= {"supported", "refuted", "inconclusive"}
    plan = json.loads((record / "plan.json").read_text())
    assert [c["name"] for c in plan["conditions"]] == list(registered["conditions"])
    assert {c["config"]["model"]["name"] for c in plan["conditions"]} == {"resnet18"}
    assert "model=resnet18" in plan["deviations"] and list(plan["data"]) == [data]
    rows = pq.read_table(record / "replicates.parquet").to_pydict()
    assert len(rows["replicate"]) == 2 * len(plan["conditions"])
    trained = [not diverged for diverged in rows["diverged"]]
    assert any(trained)
    dead = np.array(rows["dead_fraction"], dtype=float)[trained]
    assert ((dead >= 0) & (dead <= 1)).all()
    if scenario == "natural_death":
        # every channel of every layer, by a bias below all it can be given
        assert {d for c, d in zip(rows["condition"], rows["dead_at_start"], strict=True) if c == "born_dead"} == {1.0}
    if scenario == "batchnorm":
        none = [d for c, d in zip(rows["condition"], rows["dead_fraction"], strict=True) if c == "none"]
        assert none == [1.0, 1.0]
        assert set(rows["bound_alive_broken"]) - {None} and all(b == 0 for b in rows["bound_alive_broken"] if b is not None and b == b)
