"""Arrays made buffer by buffer are those that pyarrow makes by itself, and become the same Parquet bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from suite.record.arrow import flags, numbers, table, texts
from suite.record.tables import to_bytes

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_the_same_arrays_and_the_same_bytes(count):
    values, missing = RNG.normal(size=count), RNG.random(count) < 0.3
    values[missing] = np.nan
    whole = RNG.integers(-(2**62), 2**62, count)
    words = ["", "é", "a" * 300, "×\n"]
    names = [words[k] for k in RNG.integers(0, 4, count)]
    ours = {
        "float": numbers(values, missing),
        "full": numbers(values, np.zeros(count, dtype=bool)),
        "strided": numbers(np.repeat(whole, 2)[::2]),
        "int": numbers(whole, missing),
        "bool": flags(missing),
        "text": texts(names),
    }
    theirs = {
        "float": pa.array(values, pa.float64(), mask=missing),
        "full": pa.array(values, pa.float64(), mask=np.zeros(count, dtype=bool)),
        "strided": pa.array(whole, pa.int64()),
        "int": pa.array(whole, pa.int64(), mask=missing),
        "bool": pa.array(missing),
        "text": pa.array(names, pa.string()),
    }
    for name, array in ours.items():
        array.validate(full=True)
        assert array.to_pylist() == pytest.approx(theirs[name].to_pylist(), nan_ok=True) if name == "full" else array.equals(theirs[name])
    assert to_bytes(table(ours)) == to_bytes(pa.table(theirs))


def test_a_type_that_is_not_known_is_refused():
    with pytest.raises(KeyError, match="complex128"):
        numbers(np.zeros(2, dtype=complex))
