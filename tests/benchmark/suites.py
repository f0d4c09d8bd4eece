"""Small suites for tests."""

from __future__ import annotations

import yaml

from pointillist.benchmark.jobs import Machine, jobs_of
from pointillist.benchmark.suite import load_suite

MACHINE = Machine("cpu", "32-true", 1)
SMALL = {
    "name": "small",
    "protocol": "phantoms",
    "dataset": {"importer": "phantoms", "training": 1, "testing": 1},
    "methods": ["pce"],
    "folds": "test",
    "seeds": [1],
    "iterations": 10,
    "size": 32,
    "batch": 4,
    "checkpoint_every": 4,
}


def suite_file(folder, **changes):
    """A YAML file: the small suite with changes; None takes a key away."""
    content = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    path = folder / f"{content.get('name', 'unnamed')}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def small_jobs(folder, **changes):
    return jobs_of(load_suite(str(suite_file(folder, **changes))), folder / "out")
