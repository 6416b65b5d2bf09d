"""Decode task state from functional MRI.

BIDS in; an honest accuracy, brain maps, a report and a shareable model out.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Name → module that defines it. Loaded on first use, so that `import boldformer` and
# `boldformer --help` do not wait for torch.
_PUBLIC = {
    "Decoder": "boldformer.decoder",
    "open_dataset": "boldformer.data.sources.layouts",
    "simulate_cohort": "boldformer.simulation",
    "CohortSpec": "boldformer.simulation",
}

__all__ = ["CohortSpec", "Decoder", "open_dataset", "simulate_cohort"]

if TYPE_CHECKING:
    from boldformer.data.sources.layouts import open_dataset
    from boldformer.decoder import Decoder
    from boldformer.simulation import CohortSpec, simulate_cohort


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
