"""MLflow's saved view: conditions as rows, factors and the metrics that matter as columns.

The format is MLflow's own and undocumented (read from the 3.17 front end): an experiment tag
``mlflow.sharedViewState.<key>`` holding "deflate;" and the base64 of a zlib-compressed JSON state.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence

TAG = "mlflow.sharedViewState."
METRICS = (
    "dead_fraction",
    "revived_fraction",
    "died_fraction",
    "train_loss",
    "test_accuracy",
    "diverged",
    "replicate_steps_per_second",
)


def view_state(study_id: str, factors: Sequence[str], metrics: Sequence[str]) -> str:
    """The tag's value for one study."""
    columns = [f"params.`{name}`" for name in factors] + [f"metrics.`{name}`" for name in METRICS if name in metrics]
    state = {
        "searchFilter": f"tags.study = '{study_id}' and tags.level = 'condition'",
        # sorted by date the front end folds conditions under their study; by anything else it lists them
        "orderByKey": "tags.`mlflow.runName`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": ["attributes.`Run Name`", *columns],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsHiddenMode": "FIRST_20_RUNS",
        "runListHidden": False,
        "viewMaximized": True,
        "groupBy": None,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": False,
    }
    packed = zlib.compress(json.dumps(state).encode())
    return "deflate;" + base64.b64encode(packed).decode()


def read_view_state(value: str) -> dict[str, object]:
    """The state back from a tag's value."""
    return dict(json.loads(zlib.decompress(base64.b64decode(value.removeprefix("deflate;")))))
