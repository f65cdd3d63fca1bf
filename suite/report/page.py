"""The report of one study: a self-contained HTML page, the same in Markdown, and the figures beside them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from suite.report import words
from suite.report.figures import figures_of, rendered
from suite.vocabulary import Study

TEMPLATES = Path(__file__).with_name("templates")
#: Final metrics worth a column of their own, in this order, where they were measured.
SHOWN = (
    "dead_fraction",
    "revived_fraction",
    "died_fraction",
    "train_loss",
    "excess_loss",
    "test_accuracy",
    "moved_norm.hidden_weight",
    "coast_ratio",
    "revival_agreement",
    "activation_sparsity",
    "reached_target",
    "steps_to_target",
    "time.seconds_to_target",
    "time.step_seconds",
    "time.observed_step_seconds",
)
CAPTIONS = {
    "verdicts": "Every hypothesis, controls first: estimate and interval against the threshold it is compared with; "
    "a diamond marks an exact statement, by the share of replicates in which it holds.",
    "dead_fraction": "Share of hidden units dead on the whole training set. Line: median over replicates; band: 10th to 90th percentile.",
    "train_loss": "Training loss. Line: median over replicates; band: 10th to 90th percentile.",
    "test_accuracy": "Test accuracy. Line: median over replicates; band: 10th to 90th percentile.",
}


def render(study: Study) -> Mapping[str, bytes]:
    """The report's files by name: report.html, report.md and figures/."""
    files: dict[str, bytes] = {}
    pictures: dict[str, str] = {}
    for name, figure in figures_of(study).items():
        svg = rendered(figure, "svg")
        files[f"figures/{name}.svg"] = svg
        files[f"figures/{name}.png"] = rendered(figure, "png")
        pictures[name] = svg.decode().split("?>", 1)[-1].split(">", 1)[-1] if svg.startswith(b"<?xml") else svg.decode()
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    facts = _facts(study)
    # our own figures are the only markup let through unescaped
    html = environment.get_template("report.html").render(facts, pictures={k: Markup(v) for k, v in pictures.items()}, captions=CAPTIONS)
    plain = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=False, trim_blocks=True, lstrip_blocks=True)
    plain.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    markdown = plain.get_template("report.md").render(facts, pictures=list(pictures), captions=CAPTIONS)
    return {"report.html": html.encode(), "report.md": markdown.encode(), **files}


def _facts(study: Study) -> dict[str, Any]:
    plan, outcome = study.plan, study.outcome
    rows = [
        {
            "name": v.hypothesis.name,
            "claim": v.hypothesis.claim,
            "part": v.hypothesis.part.replace("_", " ") if v.hypothesis.role == "treatment" else words.ROLES[v.hypothesis.role],
            "statement": v.hypothesis.statement,
            "metric": v.hypothesis.metric,
            "rule": words.rule(v),
            "estimate": words.number(v.estimate),
            "interval": words.interval(v.low, v.high),
            "confidence": f"{100 * v.confidence:.4g} %",
            "n": v.n,
            "diverged": v.diverged,
            "verdict": v.verdict,
            "symbol": words.SYMBOLS[v.verdict],
            "note": v.note,
        }
        for v in words.in_order(outcome.verdicts)
    ]
    references = [
        {
            "name": v.hypothesis.name,
            "predicted": words.number(v.hypothesis.reference.value),
            "measured": f"{words.number(v.estimate)} {words.interval(v.low, v.high)}",
            "source": v.hypothesis.reference.source,
        }
        for v in outcome.verdicts
        if v.hypothesis.reference is not None
    ]
    return {
        "plan": plan,
        "study": study,
        "status": outcome.status,
        "status_line": words.status_line(outcome, plan),
        "claims": [(name, text, words.claim_sentence(name, outcome)) for name, text in sorted(plan.claims.items())],
        "rows": rows,
        "references": references,
        "finals": _finals(study),
        "design": ", ".join(plan.factors),
        "provenance": study.provenance,
        "command": _command(study),
        "models": [name for name in _models(study) if name != "mlp"],
    }


def _command(study: Study) -> str:
    """The line that repeats the study; a dataset that all conditions share is named in it, and a network that is no perceptron."""
    plan = study.plan
    data = {condition.config["data"]["name"] for condition in plan.conditions}
    words_ = ["python -m suite", f"+scenario={plan.scenario}", f"replicates={plan.replicates}", f"seed={plan.seed}"]
    words_ += [f"data={name}" for name in data if len(data) == 1 and "data" not in plan.factors]
    models = _models(study)
    words_ += [f"model={name}" for name in models if len(models) == 1 and name != "mlp" and "model" not in plan.factors]
    return " ".join([*words_, *(text for text in plan.deviations if not text.startswith(("data=", "model=")))])


def _models(study: Study) -> list[str]:
    """The kinds of network in the study."""
    return sorted({condition.config.get("model", {}).get("name", "mlp") for condition in study.plan.conditions})


def _finals(study: Study) -> dict[str, Any]:
    """Medians over replicates at the end, one row per condition."""
    traces = list(study.traces.values())
    columns = [name for name in SHOWN if any(np.isfinite(t.finals.get(name, np.array([np.nan]))).any() for t in traces)]
    rows = []
    for trace in traces:
        cells = [trace.condition]
        for name in columns:
            values = trace.finals.get(name, np.array([np.nan]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN: shown as a dash
                cells.append(words.number(float(np.nanmedian(values))))
        cells.append(str(int((trace.diverged_at >= 0).sum())))
        rate = trace.timings.get("replicate_steps_per_second", float("nan"))
        cells.append(words.number(rate))
        train = trace.timings.get("train_seconds", 0.0)
        cells += [
            f"{100 * trace.timings[name] / train:.1f} %" if train and name in trace.timings else "-"
            for name in ("probe_seconds", "evaluate_seconds")
        ]
        rows.append(cells)
    return {"columns": ["condition", *columns, "diverged", "replicate-steps/s", "probes / training", "evaluation / training"], "rows": rows}
