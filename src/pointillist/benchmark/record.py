"""The results file of a run: all that a table needs, and all that says where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pointillist.benchmark.jobs import Job
from pointillist.benchmark.provenance import hardware
from pointillist.data.compressed import read_bytes
from pointillist.data.dataset import Dataset
from pointillist.runtime.events import read_events
from pointillist.train.plan import Plan, split_of


def result_of(
    job: Job,
    plan: Plan,
    readings: dict[str, Any],
    kept: list[dict[str, Any]],
    *,
    evaluation_minutes: float,
    peak_memory_mb: dict[str, int],
) -> dict[str, Any]:
    """What is written of a finished run; no path of this machine is in it.

    Args:
        job: the run.
        plan: that it was trained by.
        readings: from ``pointillist.benchmark.measure.measure``.
        kept: from ``pointillist.benchmark.measure.measure_kept``.
        evaluation_minutes: that both readings took.
        peak_memory_mb: the most that the last process held.
    """
    dataset = Dataset.open(Path(plan.dataset))
    fold, _ = split_of(plan, dataset)
    begun = job.begun()
    run = json.loads(read_bytes(job.folder / "run.json"))
    evaluated = {row[0] for row in readings["plain"]["cases"]["rows"]}
    return {
        "format": 1,
        **names_of(job),
        "fingerprint": job.fingerprint,
        "method": job.entry.name,
        "all_settings": job.entry.all_settings(),
        "fold": job.fold,
        "seed": job.seed,
        "data": {
            "name": dataset.name,
            "source": job.source.model_dump(exclude_none=True),
            "hash": run["data"],
            "training_cases": len(fold.train),
            "training_groups": len({case.group for case in dataset.training if case.id in set(fold.train)}),
            "training_slices": run["slices"]["train"],
            "evaluated_cases": len(evaluated),
        },
        "training": {
            **{name: getattr(plan, name) for name in ("iterations", "size", "batch", "net", "select")},
            **{name: getattr(plan, name) for name in ("augmentation", "normalisation", "grid")},
            "recipe": asdict(plan.recipe),
            **({"hold_out_share": plan.hold_out_share} if plan.validates else {}),
        },
        "code": begun[-1]["code"],
        "earlier_code": _others([event["code"] for event in begun]),
        "hardware": hardware(plan.device, plan.precision, plan.threads),
        "cost": cost_of(read_events(job.folder / "events.jsonl"))
        | {"evaluation_minutes": round(evaluation_minutes, 3), "peak_memory_mb": peak_memory_mb},
        "readings": readings,
        **({"kept": kept} if kept else {}),
    }


def names_of(job: Job) -> dict[str, Any]:
    """What its suite calls a run, and says of it: all that may differ between suites that hold the same run."""
    return {
        "suite": job.suite.name,
        "run": f"{job.entry.label}/{job.place}",
        "protocol": job.suite.protocol,
        "title": job.entry.title,
        "settings": job.entry.settings,
        "tuned": job.entry.tuned,
    }


def cost_of(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Time of training over every process that worked on the run, steps made twice after a kill counted twice.

    Args:
        events: of the run, in order.

    Returns:
        ``train_minutes``, ``seconds_per_iteration`` (None before the first step that was logged) and ``processes``.
    """
    minutes, seconds, steps, processes = 0.0, 0.0, 0, 0
    first: dict[str, Any] = {}
    stepped: dict[str, Any] = {}
    latest: dict[str, Any] = {}
    for event in [*events, {"event": "start"}]:
        if event["event"] in ("start", "resume"):
            if latest:
                minutes += (latest["time"] - first["time"]) / 60
                processes += 1
            if stepped:
                seconds += stepped["time"] - first["time"]
                steps += stepped["step"] - first.get("step", 0)
            first, stepped, latest = event, {}, {}
        elif first:
            latest = event if event["event"] != "benchmark" else latest
            stepped = event if event["event"] == "step" else stepped
    return {
        "train_minutes": round(minutes, 3),
        "seconds_per_iteration": round(seconds / steps, 5) if steps else None,
        "processes": processes,
    }


def _others(codes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Versions of the code that began or went on with the run before the last one."""
    return [code for place, code in enumerate(codes) if code != codes[-1] and code not in codes[:place]]
