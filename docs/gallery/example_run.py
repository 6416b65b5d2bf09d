"""The recordings and the run behind the gallery, made once and kept in build/."""

from __future__ import annotations

import io
from pathlib import Path

from IPython.display import Image, Markdown, display

from boldformer import CohortSpec, simulate_cohort
from boldformer.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from boldformer.studies import run_decoding
from boldformer.visualization.drawing import Drawing

BUILD = Path(__file__).resolve().parents[2] / "build" / "gallery"
LABELS = ("left_leg", "right_leg", "tongue")


def cohort() -> Path:
    """Eight simulated people, two runs each, three movements, voxels of 6 mm."""
    spec = CohortSpec(
        subjects=8, runs=2, conditions=LABELS, voxel_size_mm=6.0, n_volumes=120
    )
    return simulate_cohort(BUILD / "cohort", spec, n_jobs=1, progress=False)


def finished_run() -> Path:
    """Output folder of the hybrid decoder, four folds of people."""
    out = BUILD / "results"
    if not (out / "report.html").is_file():
        settings = RunConfig(
            data=DataConfig(path=str(cohort())),
            model=ModelConfig("hybrid"),
            evaluation=EvaluationConfig(
                folds=4, causal_decoder=False, learning_curve=False, calibrate=False
            ),
        )
        run_decoding(settings, out, progress=False)
    return out


def show(drawing: Drawing) -> None:
    """Display a figure and what it says under it."""
    buffer = io.BytesIO()
    drawing.figure.savefig(
        buffer, format="png", dpi=200, facecolor="white", bbox_inches="tight"
    )
    display(Image(buffer.getvalue(), format="png", retina=True, alt=drawing.alt))
    display(Markdown(drawing.caption))
