"""Rows inserted many at a time are the rows that MLflow's own log_batch leaves, as SQLite itself reads them."""

from __future__ import annotations

import shutil
import sqlite3

from study_example import make_study

from suite.record.write import write_record
from suite.tracking import history
from suite.tracking import mirror as module
from suite.tracking.store import open_store

STUDY = make_study()
TABLES = {
    "metrics": "key, value, timestamp, step, is_nan",
    "latest_metrics": "key, value, timestamp, step, is_nan",
    "params": "key, value",
}


def tables(path):
    """Every row by the name of its run."""
    with sqlite3.connect(path) as connection:
        return {
            table: sorted(connection.execute(f"select runs.name, {columns} from {table} join runs using (run_uuid)").fetchall())
            for table, columns in TABLES.items()
        }


def test_rows_are_those_of_log_batch_and_twice_is_once(empty_store, tmp_path, monkeypatch):
    record = write_record(STUDY, tmp_path / "results", {})

    def written(name):
        path = tmp_path / f"{name}.db"
        if not path.exists():
            shutil.copy(empty_store, path)
        module.mirror(STUDY, record, f"sqlite:///{path}", "replicates", "title", "note")
        return tables(path)

    ours = written("ours")
    again = written("ours")
    monkeypatch.setattr(module, "inserter", lambda client: None)
    theirs = written("theirs")
    assert len(theirs["metrics"]) > 100
    assert ours == again == theirs
    # a store that one way has filled is not filled again by the other
    monkeypatch.undo()
    assert written("theirs") == theirs


def test_another_table_is_left_to_mlflow(store, monkeypatch):
    client = open_store(store)
    assert history.inserter(client) is not None
    monkeypatch.setattr(history, "COLUMNS", history.COLUMNS | {"unit"})
    assert history.inserter(client) is None
