"""results/benchmarks/README.md from the JSON files beside it; nothing in it is typed by hand.

``python -m tests.bench.table results/benchmarks``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HEAD = """# Benchmarks

Made by `make bench` from the JSON files in this folder, which hold every round, the environment and the command. Each figure is the
minimum of alternating rounds, with the median in brackets: the rivals run in turn within one run, since the machine may be shared. A
processor share well below 1 says that it was, and shares of the peak then mean little. Targets were set before measuring
(`tests/bench/targets.py`); a missed one fails no test.
"""


def rows(header: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def both(statistic: Mapping[str, float]) -> str:
    """Minimum, and the median in brackets."""
    return f"{statistic['minimum']:.3g} ({statistic['median']:.3g})"


def ran_on(file: Mapping[str, Any]) -> str:
    """One line about the machine, one with the command."""
    e = file["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in e["packages"].items() if version)
    return (
        f"{file['what']}\n\n{e['date']}: {e['cpu']}, {e['cores']} cores, load {e['load'][0]} at the start, "
        f"{e['load_at_end'][0]} at the end; "
        f"Python {e['python']}, {packages}.\n\n`{file['command']}`\n"
    )


def target_rows(targets: Iterable[Mapping[str, Any]]) -> str:
    """Figures beside their targets."""
    body = [
        (
            t["figure"],
            f"{t['measured']:.3g}",
            f"≥ {t['at_least']:g}" if "at_least" in t else f"≤ {t['at_most']:g}",
            "yes" if t["met"] else "no",
        )
        for t in targets
    ]
    return rows(("figure", "measured", "target", "met"), body)


def engine(file: Mapping[str, Any]) -> str:
    """Engine, loop and JAX."""
    parts = ["## Training throughput\n", ran_on(file)]
    for name, w in file["workloads"].items():
        shape = "-".join(map(str, w["layers"]))
        agreed = ", ".join(f"{rival} {value:.0e}" for rival, value in w["agreement"]["largest_relative_difference"].items())
        parts.append(
            f"### {name}: {shape}, batch {w['batch']}, R = {w['replicates']}, {w['steps']} steps on {w['data']}, path {w['path']}\n"
        )
        parts.append(
            f"Same losses as ours after {w['agreement']['steps']} steps from the same start, relative difference at most: {agreed}.\n"
        )
        parts.append(
            rows(
                (
                    "contestant",
                    "processes",
                    "replicate-steps / s",
                    "GFLOP / s",
                    "share of sgemm peak",
                    "by processor time",
                    "processor share",
                ),
                [
                    (
                        who,
                        c["processes"],
                        both(c["replicate_steps_per_second"]) if "replicate_steps_per_second" in c else "",
                        both(c["gflops_per_second"]),
                        both(w["share_of_sgemm_peak"][who]) if who in w["share_of_sgemm_peak"] else "",
                        w["share_of_sgemm_peak_by_processor_time"].get(who, ""),
                        f"{c['processor_share']:.2f}",
                    )
                    for who, c in w["contestants"].items()
                ],
            )
        )
        parts.append(
            rows(
                ("ratio of rates", "minimum (median)", "by processor time"),
                [(label, both(ratio), w["ratios_by_processor_time"].get(label, "")) for label, ratio in w["ratios"].items()],
            )
        )
        parts.append(target_rows(w["targets"]))
    return "\n".join(parts)


def scaling(file: Mapping[str, Any]) -> str:
    """Cost and memory against R."""
    speed, memory = file["speed"], file["memory"]
    parts = ["## Cost and memory against the number of replicates\n", ran_on(file)]
    parts.append(
        rows(
            ("contestant", "R", "μs / replicate-step", "processor share"),
            [
                (r["contestant"], r["replicates"], both(r["microseconds_per_replicate_step"]), f"{r['processor_share']:.2f}")
                for r in speed["rows"]
            ],
        )
    )
    parts.append(
        rows(
            ("network", "path", "R", "measured, MB", "predicted, MB", "measured, kB per replicate", "predicted, kB per replicate"),
            [
                (
                    r["workload"],
                    r["path"],
                    r["replicates"],
                    *(f"{r[key] / 1e6:.2f}" for key in ("measured_bytes", "predicted_bytes")),
                    *(f"{r[key] / 1e3 / r['replicates']:.1f}" for key in ("measured_bytes", "predicted_bytes")),
                )
                for r in memory["rows"]
            ],
        )
    )
    largest = max(row["replicates"] for row in memory["rows"])
    terms = [
        (r["path"], term, f"{value / 1e3 / largest:.1f}")
        for r in memory["rows"]
        if r["workload"] == "digits" and r["replicates"] == largest
        for term, value in r["terms"].items()
    ]
    parts.append(rows(("path", f"predicted at R = {largest}, digits", "kB per replicate"), terms))
    parts.append(target_rows([*speed["targets"], *memory["targets"]]))
    return "\n".join(parts)


def observation(file: Mapping[str, Any]) -> str:
    """Tiers of probes."""
    clocks = ("training", "probes", "evaluation", "wall")
    body = [
        (tier, *(f"{row['seconds'][c]:.3g} ({row['share_of_training'][c]:.2f})" for c in clocks), f"{row['processor_share']:.2f}")
        for tier, row in file["tiers"].items()
    ]
    head = ("probes", *(f"{clock}, s (share)" for clock in clocks), "processor share")
    return "\n".join(["## What observing costs\n", ran_on(file), rows(head, body), target_rows(file["targets"])])


def study(file: Mapping[str, Any]) -> str:
    """Whole commands."""
    parts = ["## A whole study\n", ran_on(file)]
    parts.append(rows(("command", "seconds"), [(name, both(seconds)) for name, seconds in file["seconds"].items()]))
    parts.append(
        rows(
            ("part of the study", "seconds", "share"),
            [(name, f"{value:.3g}", f"{file['parts_share'][name]:.2f}") for name, value in file["parts_seconds"].items()],
        )
    )
    parts.append(rows(("seconds per seed-run", ""), [(name, f"{value:.3g}") for name, value in file["seconds_per_seed_run"].items()]))
    parts.append(
        f"The study trains {file['seed_runs']} runs; a process per seed would take {file['extrapolated_rival_study_seconds']:.0f} s for "
        "as many, extrapolated.\n"
    )
    parts.append(target_rows(file["targets"]))
    return "\n".join(parts)


def parts(file: Mapping[str, Any]) -> str:
    """Single parts, timed by pytest-benchmark."""
    body = [(name, f"{1e3 * s['minimum']:.3g} ({1e3 * s['median']:.3g})", s["rounds"]) for name, s in file["seconds"].items()]
    return "\n".join(["## Parts\n", ran_on(file), rows(("part", "milliseconds", "rounds"), body)])


def workers(file: Mapping[str, Any]) -> str:
    """Worker processes."""
    head = ["## Blocks in worker processes\n", ran_on(file)]
    runs = rows(("run", "seconds"), [(row["run"], both(row["seconds"])) for row in file["rows"]])
    return "\n".join([*head, runs, rows(("figure", ""), [(name, f"{value:.3g}") for name, value in file["figures"].items()])])


def overhead(file: Mapping[str, Any]) -> str:
    """What surrounds training."""
    studies = file["studies"]
    parts = ["## What surrounds training\n", ran_on(file)]
    phases = list(next(iter(studies.values()))["wall_seconds"])
    for title, key in (("", None), (", resumed", "resumed")):
        body = []
        for phase in phases:
            cells = [found if key is None else found[key] for found in studies.values()]
            body.append((phase, *(f"{c['wall_seconds'][phase]:.3g} ({c['processor_seconds'][phase]:.3g})" for c in cells)))
        parts.append(rows((f"seconds of wall (processor) time{title}", *studies), body))
    figures = {
        "blocks": lambda s: s["blocks"],
        "record, report and MLflow, share of wall time": lambda s: f"{s['share_of_wall']:.3g}",
        "the same, share of processor time": lambda s: f"{s['share_of_processor']:.3g}",
        "executor's overhead, ms per block": lambda s: f"{s['executor_milliseconds_per_block']:.3g}",
        "resuming, ms per finished block": lambda s: f"{s['resumed']['milliseconds_per_block']:.3g}",
        "resumed / fresh, wall time": lambda s: f"{s['resumed']['share_of_fresh']:.3g}",
    }
    parts.append(rows(("figure", *studies), [(name, *map(of, studies.values())) for name, of in figures.items()]))
    parts.append(target_rows(file["targets"]))
    return "\n".join(parts)


SECTIONS = {
    "engine": engine,
    "scaling": scaling,
    "observation": observation,
    "study": study,
    "overhead": overhead,
    "workers": workers,
    "parts": parts,
}


def page(folder: Path) -> str:
    """The page for the files that are there."""
    texts = [HEAD]
    for name, section in SECTIONS.items():
        path = folder / f"{name}.json"
        if path.is_file():
            texts.append(section(json.loads(path.read_text(encoding="utf-8"))))
    return "\n".join(texts)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    (target / "README.md").write_text(page(target), encoding="utf-8")
