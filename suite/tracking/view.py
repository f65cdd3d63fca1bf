"""MLflow's saved view: conditions as rows; factors, verdicts and the metrics that matter as columns; charts in groups.

The format is MLflow's own and undocumented (read from the 3.17 front end): an experiment tag
``mlflow.sharedViewState.<key>`` holding "deflate;" and the base64 of a zlib-compressed JSON state.
"""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Collection, Sequence
from typing import Any

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


#: Sections of the chart page with their metrics; curves are lines, values at the end bars.
SECTIONS = {
    "Dead units": ("dead_fraction", "deaths", "revivals", "died_fraction", "revived_fraction"),
    "Loss and accuracy": ("train_loss", "test_loss", "test_accuracy", "excess_loss"),
    "Movement and gradient": ("moved_norm.hidden_weight", "moved_fraction.hidden_weight", "grad_norm.hidden_weight"),
    "Throughput and divergence": ("replicate_steps_per_second", "diverged"),
}
#: Where the front end puts every metric that has no chart yet; kept folded.
REST = "Model metrics"
#: The longest value that MLflow stores in an experiment's tag.
LONGEST = 5000


def view_state(study_id: str, factors: Sequence[str], metrics: Sequence[str], curves: Collection[str]) -> str:
    """The tag's value for one study. ``curves`` are the metrics with a course over training. Should it be longer than MLflow takes,
    the charts are left to the front end, then the factors from the last on.
    """
    shown = list(factors)
    for charts in (True, False):
        packed = _packed(_state(study_id, shown, metrics, curves if charts else None))
        if len(packed) <= LONGEST:
            return packed
    while len(packed) > LONGEST and shown:
        shown.pop()
        packed = _packed(_state(study_id, shown, metrics, None))
    return packed


def _packed(state: dict[str, Any]) -> str:
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()


def _state(study_id: str, factors: Sequence[str], metrics: Sequence[str], curves: Collection[str] | None) -> dict[str, Any]:
    columns = [f"params.`{name}`" for name in factors] + ["tags.`verdicts`"] + [f"metrics.`{name}`" for name in METRICS if name in metrics]
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
        # by themselves the metrics would come first
        "columnOrder": columns,
        "columnWidths": {"tags.`verdicts`": 260},
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
    return state if curves is None else {**state, **_charts(metrics, curves)}


def _charts(metrics: Collection[str], curves: Collection[str]) -> dict[str, Any]:
    sections = {name: [metric for metric in wanted if metric in metrics] for name, wanted in SECTIONS.items()}
    sections = {name: found for name, found in sections.items() if found}
    cards = [_card(metric, section, metric in curves) for section, found in sections.items() for metric in found]
    names = [*sections, REST]
    return {
        "compareRunCharts": cards,
        "compareRunSections": [
            {"uuid": _id(name), "name": name, "display": name != REST, "isReordered": True, "deleted": False, "isGenerated": name == REST}
            for name in names
        ],
        # without it the front end sorts the sections by name
        "isAccordionReordered": True,
    }


def _card(metric: str, section: str, line: bool) -> dict[str, Any]:
    # a generated bar chart of a value with a step would be made a line of one point
    card: dict[str, Any] = {
        "uuid": _id(f"{section}/{metric}"),
        "type": "LINE" if line else "BAR",
        "metricSectionId": _id(section),
        "metricKey": metric,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 20,
    }
    if line:
        card |= {
            "selectedMetricKeys": [metric],
            "lineSmoothness": 0,
            "scaleType": "linear",
            "xAxisScaleType": "linear",
            "xAxisKey": "step",
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
    return card


def _id(name: str) -> str:
    """The same name has the same identifier in every study, so that writing a view again changes nothing."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"deadzone-suite/{name}").hex


def read_view_state(value: str) -> dict[str, object]:
    """The state back from a tag's value."""
    return dict(json.loads(zlib.decompress(base64.b64decode(value.removeprefix("deflate;")))))
