"""Which pipeline runs a spec: that of its procedure, ``trainables/NAME/trial.py``, found by the name that the spec says."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from trainables.running.pipeline import Pipeline


def module_of(spec: Mapping[str, Any]) -> ModuleType:
    """The module of a spec's procedure, with all that its trials import. ValueError for an unknown procedure."""
    name = spec["procedure"]
    known = sorted(path.parent.name for path in Path(__file__).parents[1].glob("*/trial.py"))
    if name not in known:
        raise ValueError(f"procedure {name!r} is none of {', '.join(known)}")
    return importlib.import_module(f"trainables.{name}.trial")


def pipeline_of(spec: Mapping[str, Any], bench: Any = None) -> Pipeline:
    """The pipeline of a spec's JSON; `bench` is what an earlier one of this process had. ValueError for an unknown procedure."""
    pipeline: Pipeline = module_of(spec).pipeline_of(spec, bench)
    return pipeline
