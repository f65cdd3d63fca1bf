"""The courses of metrics into MLflow's SQLite file, many rows at a time. Knows one table of MLflow's; every other store has its own way.

``log_batch`` makes an object of each row and looks each key up anew, which takes ten times as long as storing the rows. So the last
value of every metric goes that way, with all that MLflow checks and keeps about it, and the values before it are inserted here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

#: The table as this module knows it. Should another version of MLflow have another one, ``log_batch`` writes all rows.
COLUMNS = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}

#: (run id, rows with finite values): rows that are there already stay as they are.
Insert = Callable[[str, "Sequence[Metric]"], None]


def inserter(client: MlflowClient) -> Insert | None:
    """What inserts rows into the client's store, None where that is not a SQLite file with the table that is known here."""
    from mlflow.store.tracking.dbmodels.models import SqlMetric
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if not isinstance(store, SqlAlchemyStore) or store.engine.dialect.name != "sqlite":
        return None
    if {column.name for column in SqlMetric.__table__.columns} != COLUMNS:
        return None
    from sqlalchemy.dialects.sqlite import insert

    statement = insert(SqlMetric.__table__).on_conflict_do_nothing()

    def write(run: str, rows: Sequence[Metric]) -> None:
        content = [
            {"run_uuid": run, "key": row.key, "value": row.value, "timestamp": row.timestamp, "step": row.step, "is_nan": False}
            for row in rows
        ]
        if content:
            with store.engine.begin() as connection:
                connection.execute(statement, content)

    return write
