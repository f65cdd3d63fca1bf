"""The report of one study: a self-contained HTML page, the same in Markdown, and the figures beside them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jinja2 import Environment, FileSystemLoader

from suite import __version__
from suite.report import words
from suite.report.drawn import drawn
from suite.report.figures import figures_of, rendered
from suite.report.margins import margin_rows, weakest_control
from suite.report.strips import Mark, strip
from suite.report.styles import spoken_of
from suite.sources import fingerprint
from suite.vocabulary import Study, Verdict

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
    pictures: list[str] = []
    for name, figure in figures_of(study).items():
        files |= {f"figures/{name}.{kind}": content for kind, content in rendered(figure).items()}
        pictures.append(name)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    facts = _facts(study)
    shown, more = drawn(study, pictures)
    files |= {f"figures/{name}.svg": content for name, content in more.items()}
    html = environment.get_template("report.html").render(facts, **shown)
    # Markdown lets HTML through; nothing of a record may become a tag
    plain = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=False, trim_blocks=True, lstrip_blocks=True, finalize=_no_tags)
    plain.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    markdown = plain.get_template("report.md").render(facts, pictures=pictures, captions=CAPTIONS)
    return {"report.html": html.encode(), "report.md": markdown.encode(), **files}


def _no_tags(value: Any) -> Any:
    return value.replace("<", "&lt;") if isinstance(value, str) else value


def generator() -> str:
    """What made the pages: with the same generator, the same study gives the same bytes. It stands in the head of report.html."""
    others = ("report/index.py", "report/claims.py", "report/claims.yaml", "report/terminal.py", "report/verification.py")
    code = fingerprint(("report", "percentiles.py", "vocabulary.py"), (*others, "report/templates/index.html"))
    return f"deadzone-suite {__version__}, report code {code[:16]}, matplotlib {matplotlib.__version__}"


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
            "strip": strip(Mark.of(v), 190.0, figures=True),
            "conditions": [c.name for c in spoken_of(plan, v)],
        }
        for v in words.in_order(outcome.verdicts)
    ]
    references = [
        {
            "name": v.hypothesis.name,
            "predicted": _fine(v.hypothesis.reference.value),
            "measured": _measured(v),
            "source": v.hypothesis.reference.source,
            "agreement": _agreement(v),
        }
        for v in outcome.verdicts
        if v.hypothesis.reference is not None
    ]
    return {
        "plan": plan,
        "study": study,
        "status": outcome.status,
        "status_line": words.status_line(outcome, plan),
        "claims": [_claim(name, text, study) for name, text in sorted(plan.claims.items())],
        "rows": rows,
        "references": references,
        "finals": _finals(study),
        "margins": margin_rows(outcome),
        "controls": sum(v.hypothesis.role != "treatment" for v in outcome.verdicts),
        "weakest": weakest_control(outcome),
        "citation": _citation(study),
        "design": ", ".join(plan.factors),
        "provenance": study.provenance,
        "command": _command(study),
        "models": [name for name in _models(study) if name != "mlp"],
        "generator": generator(),
    }


def _claim(name: str, text: str, study: Study) -> dict[str, str]:
    mine = [v for v in study.outcome.verdicts if v.hypothesis.claim == name]
    kind = "invalid" if study.outcome.status == "invalid" else words.as_stated(mine).split()[0]
    return {
        "name": name,
        "text": text,
        "sentence": words.claim_sentence(name, study.outcome),
        "kind": kind,
        "mark": words.SYMBOLS.get(kind, "·"),
    }


def _agreement(v: Verdict) -> str:
    """Whether the interval holds what was predicted, by how much the estimate is off, and where it lies in the range agreed on."""
    h = v.hypothesis
    assert h.reference is not None
    if h.test == "exact":
        return "every replicate meets the rule" if v.verdict == "supported" else "not every replicate meets the rule"
    if math.isnan(v.estimate) or math.isnan(v.low):
        return "no interval"
    off = v.estimate - h.reference.value
    covered = "the interval covers it" if v.low <= h.reference.value <= v.high else "the interval does not cover it"
    parts = [f"{covered}: off by {words.number(float(f'{off:.2g}'))}"]
    if h.direction == "equal":
        where = {"supported": "the whole interval lies", "refuted": "no part of the interval lies"}.get(
            v.verdict, "not all of the interval lies"
        )
        parts.append(f"{where} in the agreed {words.number(h.value - h.margin)} to {words.number(h.value + h.margin)}")
    return ", ".join(parts)


def _measured(v: Verdict) -> str:
    """The estimate and its interval; of an exact statement the replicates that meet its rule, since its estimate is their share."""
    if v.hypothesis.test == "exact" and math.isfinite(v.estimate):
        return f"{words.rule(v).removeprefix('all ')} in {round(v.estimate * v.n)} of {v.n}"
    return f"{_fine(v.estimate)} [{_fine(v.low)}, {_fine(v.high)}]"


def _fine(value: float) -> str:
    """Six digits: predictions are met closely."""
    return "—" if math.isnan(value) else f"{value:.6g}"


def _citation(study: Study) -> str:
    """The study in one line, as a list of references has it."""
    facts = study.provenance
    year = str(facts.get("finished", ""))[:4]
    return (
        f"The deadzone-suite authors ({year}). {study.plan.title}: study {study.study_id}. "
        f"deadzone-suite {facts.get('suite', '')}, plan SHA-256 {facts.get('plan_sha256', '')}."
    )


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
