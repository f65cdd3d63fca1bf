"""The claims register: what every record says of every claim. Reads verdict.json files; decides nothing itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suite.selection import select
from suite.vocabulary import Condition, RequestError

REGISTER = Path(__file__).with_name("claims.yaml")
#: What claims.json repeats of the hypothesis that settled a claim.
SETTLING = (
    "name",
    "statement",
    "metric",
    "test",
    "direction",
    "value",
    "margin",
    "verdict",
    "estimate",
    "low",
    "high",
    "confidence",
    "n",
    "diverged",
)


@dataclass(frozen=True)
class Finding:
    """What one study says of one claim. ``folder`` is relative to the results folder; ``datasets`` are those that its test of the claim
    looked at, with the network,
    ``digits (cnn)``, where it is no multilayer perceptron; a boundary is (name, verdict, statement); ``settled_by`` is the
    hypothesis that decided the claim as stated, as verdict.json has it.
    """

    folder: str
    study: str
    datasets: tuple[str, ...]
    status: str
    verdict: str
    estimate: str
    boundaries: tuple[tuple[str, str, str], ...]
    n: int
    settled_by: Mapping[str, Any] | None


def verdict_files(results_dir: Path) -> list[Path]:
    """Every record's verdict, one level down, then those one more down for other datasets; the archive is left out."""
    found = [*results_dir.glob("*/verdict.json"), *results_dir.glob("*/*/verdict.json")]
    kept = [path for path in found if "archive" not in path.relative_to(results_dir).parts]
    return sorted(kept, key=lambda path: (len(path.parts), path))


def findings(results_dir: Path) -> dict[str, list[Finding]]:
    """Claim id to what the records say of it."""
    by_claim: dict[str, list[Finding]] = {}
    for path in verdict_files(results_dir):
        try:
            record, plan = json.loads(path.read_text(encoding="utf-8")), _plan(path.parent)
            for claim in record["claims"]:
                found = _finding(record, claim, path.parent.relative_to(results_dir).as_posix(), plan)
                by_claim.setdefault(claim, []).append(found)
        except FileNotFoundError:  # another process has just begun to write it anew
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RequestError(f"{path}: damaged or of another version ({type(error).__name__}: {' '.join(str(error).split())})") from error
    return by_claim


def _plan(record: Path) -> Mapping[str, Any]:
    """A record's plan as JSON has it; empty where there is none."""
    path = record / "plan.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _networks(plan: Mapping[str, Any]) -> str:
    """The networks of a study other than perceptrons; empty where there are none."""
    names = {str(condition["config"].get("model", {}).get("name", "mlp")) for condition in plan.get("conditions", [])}
    return ", ".join(sorted(names - {"mlp"}))


def _tested_on(plan: Mapping[str, Any], claim: str, datasets: Sequence[str]) -> list[str]:
    """Those of a study's datasets that its test of the claim as stated looks at (of its narrower statements, where there is no such
    test); all of them where the plan does not say.
    """
    mine = [h for h in plan.get("hypotheses", []) if h["claim"] == claim and h["role"] == "treatment"]
    about = [h for h in mine if h["part"] == "as_stated"] or mine
    conditions = [Condition(c["name"], c["factors"], c["config"]) for c in plan["conditions"]] if about else []
    chosen = [select(conditions, h[key]) for h in about for key in ("treatment", "contrast") if h.get(key) is not None]
    names = {str(condition.config["data"]["name"]) for found in chosen for condition in found}
    return [name for name in datasets if not about or name.split("[")[0] in names]


def _finding(record: Mapping[str, Any], claim: str, folder: str, plan: Mapping[str, Any]) -> Finding:
    mine = {name: h for name, h in record["hypotheses"].items() if h["claim"] == claim and h["role"] == "treatment"}
    stated = [{"name": name, **h} for name, h in mine.items() if h["part"] == "as_stated"]
    words = [h["verdict"] for h in stated]
    if record["status"] == "invalid":
        verdict = "invalid"
    elif not stated:
        verdict = "not tested as stated"
    else:
        verdict = "refuted" if "refuted" in words else "supported" if set(words) == {"supported"} else "inconclusive"
    # the hypothesis that settled it: the first refuted one, else the first
    settling = next((h for h in stated if h["verdict"] == verdict), stated[0] if stated else None)
    return Finding(
        folder,
        record["study"],
        tuple(_on(name, _networks(plan)) for name in _tested_on(plan, claim, record["datasets"])),
        record["status"],
        verdict,
        "" if settling is None else _estimate(settling),
        tuple((name, h["verdict"], h["statement"]) for name, h in mine.items() if h["part"] == "boundary"),
        max((h["n"] for h in mine.values()), default=0),
        None if settling is None else {key: settling[key] for key in SETTLING},
    )


def _on(dataset: str, networks: str) -> str:
    name, bracket, taken = dataset.partition("[")
    return f"{name} ({networks}){bracket}{taken}" if networks else dataset


def _estimate(h: Mapping[str, Any]) -> str:
    if h["estimate"] is None:
        return ""
    span = "" if h["low"] is None else f" [{h['low']:.3g}, {h['high']:.3g}]"
    what = "share of replicates" if h["test"] == "exact" else h["metric"]
    return f"{what} {h['estimate']:.3g}{span}"


def overall(found: Sequence[Finding]) -> str:
    """One verdict over the studies. Invalid and exploratory ones have no say while a valid one exists."""
    valid = [f for f in found if f.status == "valid"]
    if not valid:
        return "invalid" if any(f.status == "invalid" for f in found) else "exploratory only" if found else "not yet tested"
    return over_data([(f.verdict, f.datasets) for f in valid])


def over_data(verdicts: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """One word for (verdict, datasets) pairs that agree; 'depends on the data' where one supports what another refutes, or on the
    network, where that is so on the same data; else, where some leave open what others decide, each with its data, the decided first.
    """
    words = list(dict.fromkeys(word for word, _ in sorted(verdicts, key=lambda pair: pair[0] == "inconclusive")))
    if len(words) == 1:
        return words[0]
    if {"supported", "refuted"} <= set(words):
        for_, against = ({_bare(name) for w, names in verdicts if w == word for name in names} for word in ("supported", "refuted"))
        return "depends on the network" if for_ & against else "depends on the data"
    return "; ".join(f"{word} on {', '.join(sorted({name for w, names in verdicts if w == word for name in names}))}" for word in words)


def _bare(dataset: str) -> str:
    """A dataset's label without the network."""
    return re.sub(r" \(.*?\)", "", dataset)


def narrower(found: Sequence[Finding]) -> list[dict[str, str]]:
    """Each boundary statement of a claim's valid studies with its verdict over all of them, in their author's order."""
    by_statement: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    names: dict[str, str] = {}
    for f in found:
        if f.status == "valid":
            for name, verdict, statement in f.boundaries:
                by_statement.setdefault(statement, []).append((verdict, f.datasets))
                names.setdefault(statement, name)
    return [{"name": names[text], "statement": text, "verdict": over_data(verdicts)} for text, verdicts in by_statement.items()]


def claims_register(results_dir: Path) -> dict[str, Any]:
    """What claims.json holds: every claim, its overall verdict, and each study's."""
    known = yaml.safe_load(REGISTER.read_text(encoding="utf-8"))
    by_claim = findings(results_dir)
    return {
        claim: {
            "text": body["text"],
            "scenario": body["scenario"],
            "verdict": overall(by_claim.get(claim, [])),
            "narrower": narrower(by_claim.get(claim, [])),
            "studies": [
                {
                    "record": f.folder,
                    "study": f.study,
                    "datasets": list(f.datasets),
                    "status": f.status,
                    "as_stated": f.verdict,
                    "estimate": f.estimate,
                    "n": f.n,
                    "boundaries": [{"name": name, "verdict": verdict, "statement": text} for name, verdict, text in f.boundaries],
                    "settled_by": f.settled_by,
                }
                for f in by_claim.get(claim, [])
            ],
        }
        for claim, body in known.items()
    }
