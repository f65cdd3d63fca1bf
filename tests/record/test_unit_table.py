"""Followed units in a record: they come back bit for bit, the same bytes from any blocks, and a changed one is found."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from study_example import make_study

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.execution.join import joined
from suite.record import cache
from suite.record.read import check_untouched, read_study
from suite.record.tables import to_bytes
from suite.record.unit_table import units_table
from suite.record.verify_files import read_parts
from suite.record.verify_numbers import EXACT, Comparison
from suite.record.write import write_record
from suite.training.engine import train_block
from suite.vocabulary import Block, Condition, RequestError, Study


def study() -> Study:
    """Two conditions of other widths; a column that only one has; a replicate that diverges; a number that is no float32."""
    made = make_study()
    rng = np.random.default_rng(0)
    traces = {}
    for name, widths in {"plain": (3, 2), "heavy": (5,)}.items():
        units = {}
        for layer, width in enumerate(widths, 1):
            units[f"state.layer{layer}"] = rng.integers(0, 3, (4, 3, width)).astype(float)
            units[f"pre_q50.layer{layer}"] = rng.standard_normal((4, 3)).astype(np.float32).astype(float)
        if name == "heavy":
            units["coast_distance.layer1"] = rng.standard_normal((4, 3))
            for course in units.values():
                course[3, 1:] = np.nan
        traces[name] = replace(made.traces[name], units=units)
    return replace(made, traces=traces)


def test_followed_units_come_back_bit_for_bit(tmp_path):
    kept = study()
    folder = write_record(kept, tmp_path, {})
    again = read_study(folder)
    for name, trace in kept.traces.items():
        for column, course in trace.units.items():
            back = again.traces[name].units[column]
            np.testing.assert_array_equal(back, course, err_msg=column)
        # what a condition does not have is missing, not zero
        assert all(np.isnan(again.traces[name].units[column]).all() for column in again.traces[name].units.keys() - trace.units.keys())
    assert to_bytes(units_table(again.plan, again.traces)) == (folder / "units.parquet").read_bytes()
    assert not read_parts(folder).faults


def test_the_table_has_a_row_per_layer_and_evaluation(tmp_path):
    kept = study()
    table = pq.read_table(write_record(kept, tmp_path, {}) / "units.parquet")
    assert table.column_names == ["condition", "replicate", "step", "layer", "coast_distance", "pre_q50", "state"]
    assert [table.schema.field(name).type for name in ("coast_distance", "pre_q50")] == [pa.float64(), pa.float32()]
    rows = {(row["condition"], row["replicate"], row["step"], row["layer"]): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows == 4 * 3 * 3
    assert rows["plain", 2, 10, "layer2"]["state"] == kept.traces["plain"].units["state.layer2"][2, 1].astype(int).tolist()
    assert rows["heavy", 1, 20, "layer1"]["coast_distance"] == kept.traces["heavy"].units["coast_distance.layer1"][1, 2]
    assert rows["plain", 2, 10, "layer2"]["coast_distance"] is None
    ended = rows["heavy", 3, 10, "layer1"]
    assert ended["state"] is ended["pre_q50"] is None


def test_nothing_followed_is_no_table(tmp_path):
    folder = write_record(make_study(), tmp_path, {})
    assert not (folder / "units.parquet").exists()
    assert read_study(folder).traces["plain"].units == {}


def changed(folder, change) -> None:
    """The table with another content, and a manifest that says so."""
    table = change(pq.read_table(folder / "units.parquet"))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    (folder / "units.parquet").write_bytes(buffer.getvalue())
    sums = json.loads((folder / "manifest.json").read_text())
    sums["units.parquet"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(sums))


def column(name, values):
    return lambda table: table.set_column(table.column_names.index(name), name, values(table.column(name)))


FAULTS = {
    "a step": (column("step", lambda steps: pa.array([1, *steps.to_pylist()[1:]])), "column step"),
    "a layer": (column("layer", lambda layers: pa.array(["layer9", *layers.to_pylist()[1:]])), "damaged"),
    "rows": (lambda table: table.slice(1), "damaged"),
    "a condition": (column("condition", lambda names: pa.array(["other"] * len(names))), "damaged"),
    "a type": (column("pre_q50", lambda values: values.cast(pa.float64())), "of type double, not float"),
    "units": (column("state", lambda lists: pa.array([[1], *lists.to_pylist()[1:]], pa.list_(pa.int8()))), "damaged"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_table_that_is_not_the_plans_is_a_named_fault(name, tmp_path):
    folder = write_record(study(), tmp_path, {})
    change, what = FAULTS[name]
    changed(folder, change)
    assert any(fault.file == "units.parquet" and what in fault.what for fault in read_parts(folder).faults)


def test_a_table_touched_or_gone_is_told(tmp_path):
    folder = write_record(study(), tmp_path, {})
    check_untouched(folder)
    whole = (folder / "units.parquet").read_bytes()
    (folder / "units.parquet").write_bytes(whole[:-9])
    with pytest.raises(RequestError, match=r"units\.parquet"):
        check_untouched(folder)
    with pytest.raises(RequestError, match=r"units\.parquet: damaged"):
        read_study(folder)
    (folder / "units.parquet").unlink()
    with pytest.raises(RequestError, match=r"units\.parquet: missing"):
        check_untouched(folder)
    assert any(fault.file == "units.parquet" for fault in read_parts(folder).faults)


def test_a_repetition_names_the_unit_that_is_other():
    recorded = study().traces["heavy"]
    state = recorded.units["state.layer1"].copy()
    state[1, 2, 4] += 1
    comparison = Comparison()
    comparison.add(recorded, replace(recorded, units={**recorded.units, "state.layer1": state}), EXACT)
    found = comparison.columns["units.parquet", "state.layer1"]
    assert (found.different, found.identical) == (1, state.size - 1)
    assert {key: found.named[0][key] for key in ("replicate", "step", "unit")} == {"replicate": 1, "step": 20, "unit": 4}
    # units that are nowhere in the record are different from those that are
    comparison = Comparison()
    comparison.add(replace(recorded, units={}), recorded, EXACT)
    assert comparison.columns["units.parquet", "state.layer1"].different == np.isfinite(recorded.units["state.layer1"]).sum()


def test_any_blocks_give_the_same_bytes_and_the_cache_keeps_them(tmp_path):
    start, probes = Start(name="killed", margin=0.02, after=5), Probes(every=5, extra=["unit_course", "rollout"])
    numeric = Numeric(
        "float32", Data(), Model(hidden=[8]), start, Optimizer(momentum=0.9), Train(steps=10, batch_size=16), probes, Engine("auto")
    )
    plan = make_study().plan
    condition = Condition("plain", {}, asdict(numeric))
    plan = replace(plan, conditions=(condition,), replicates=11)
    tables = []
    for sizes in ((11,), (3, 5, 3), (1, 7, 2, 1)):
        first, traces = 0, []
        for size in sizes:
            trace = train_block(Block(condition, first, size, 3, "cpu"), load(Data(), "data"))
            cache.store(tmp_path, f"{first:064d}", trace)
            kept = cache.load(tmp_path, f"{first:064d}")
            assert kept is not None
            traces.append(kept)
            first += size
        tables.append(to_bytes(units_table(plan, {"plain": joined(traces)})))
    assert tables[0] == tables[1] == tables[2]
    assert pq.read_table(io.BytesIO(tables[0])).num_rows == 8 * 3
