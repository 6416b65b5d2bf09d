"""Names and sidecars of a simulated cohort, as BIDS and fMRIPrep have them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from boldformer.data.atomic import write_json, write_text, write_tsv
from boldformer.simulation.activation import load_foci
from boldformer.simulation.anatomy import SPACE
from boldformer.simulation.simulated_recording import random_source
from boldformer.simulation.spec import CohortSpec

BIDS_VERSION = "1.10.0"
SITES = ("north", "south")
# fMRIPrep names these files so too, and hides them from the validator the same way.
BIDSIGNORE = "*_timeseries.*\n*_statmap.*\nfoci.tsv\n"
MOVEMENTS = {
    "left_leg": "Movement of the left leg",
    "right_leg": "Movement of the right leg",
    "forearm": "Movement of the right forearm",
    "upper_arm": "Movement of the right upper arm",
    "hand": "Movement of the right hand",
    "tongue": "Movement of the tongue",
}
README = """\
# A simulated somatotopic mapping cohort

No person was scanned. BoldFormer made these recordings from the MNI152 template that
ships with nilearn (ICBM 152 2009a, nonlinear, symmetric), so their space is
{space}. Each person has an own residual shape, tissue contrast, bias field and gain;
movements in {block_s:g} s blocks answer through the person's haemodynamic response at
published MNI coordinates (`derivatives/truth/foci.tsv`, with sources), displaced and
scaled from person to person; on top come smooth autocorrelated noise, drift, heart
beat, breathing and head movement.

- `sub-*/func/*_events.tsv`: the blocks. There is no raw image: the recordings exist in
  template space only, as if preprocessed.
- `derivatives/fmriprep`: the recordings under the file and column names of fMRIPrep,
  so that its readers work. fMRIPrep was not run.
- `derivatives/truth`: the planted activations, in percent signal change, of the
  average person and of each person.
- `code/simulation.json`: the settings; `boldformer simulate` with them makes the same
  files again.

Age, sex and site in `participants.tsv` are drawn at random and shape nothing.
"""


class Layout:
    """Paths of a cohort under one folder.

    Parameters
    ----------
    root : Path
        Dataset folder.
    spec : CohortSpec
        Settings of the cohort.
    """

    def __init__(self, root: Path, spec: CohortSpec) -> None:
        self.root = root
        self.spec = spec
        self.fmriprep = root / "derivatives" / "fmriprep"
        self.truth = root / "derivatives" / "truth"
        self.record = root / "code" / "simulation.json"

    def subject(self, subject: int) -> str:
        """``sub-01``."""
        return f"sub-{subject:02d}"

    def events(self, subject: int, run: int) -> Path:
        """Events table of a run."""
        return self.root / self._stem(subject, run, "events.tsv")

    def bold(self, subject: int, run: int) -> Path:
        """4-D recording of a run."""
        name = f"space-{SPACE}_desc-preproc_bold.nii.gz"
        return self.fmriprep / self._stem(subject, run, name)

    def mask(self, subject: int, run: int) -> Path:
        """Brain mask of a run."""
        name = f"space-{SPACE}_desc-brain_mask.nii.gz"
        return self.fmriprep / self._stem(subject, run, name)

    def confounds(self, subject: int, run: int) -> Path:
        """Confounds table of a run."""
        name = "desc-confounds_timeseries.tsv"
        return self.fmriprep / self._stem(subject, run, name)

    def subject_map(self, subject: int, condition: str) -> Path:
        """Planted activation of one person."""
        name = f"{self.subject(subject)}_task-{self.spec.task}_{_map_name(condition)}"
        return self.truth / self.subject(subject) / "func" / name

    def group_map(self, condition: str) -> Path:
        """Planted activation of the average person."""
        return self.truth / f"task-{self.spec.task}_{_map_name(condition)}"

    def files(self) -> Iterator[Path]:
        """Every file of the cohort."""
        spec = self.spec
        yield self.record
        for name in ("README", "participants.tsv", "participants.json"):
            yield self.root / name
        yield self.root / f"task-{spec.task}_events.json"
        for folder in (self.root, self.fmriprep, self.truth):
            yield folder / "dataset_description.json"
        for folder in (self.fmriprep, self.truth):
            yield from (folder / ".bidsignore", folder / "README")
        yield self.truth / "foci.tsv"
        images = [self.group_map(condition) for condition in spec.conditions]
        for subject in range(1, spec.subjects + 1):
            images += [self.subject_map(subject, name) for name in spec.conditions]
            for run in range(1, spec.runs + 1):
                yield self.events(subject, run)
                images.append(self.bold(subject, run))
                images += [self.mask(subject, run), self.confounds(subject, run)]
        for image in images:
            yield from (image, sidecar(image))

    def _stem(self, subject: int, run: int, ending: str) -> Path:
        name = self.subject(subject)
        return Path(name, "func", f"{name}_task-{self.spec.task}_run-{run}_{ending}")


def sidecar(path: Path) -> Path:
    """JSON file that describes an image or a table."""
    return path.with_name(path.name.split(".")[0] + ".json")


def _map_name(condition: str) -> str:
    label = condition.replace("_", "")
    return f"space-{SPACE}_label-{label}_desc-planted_statmap.nii.gz"


def write_dataset_files(layout: Layout) -> None:
    """Write everything that describes the cohort as a whole."""
    spec = layout.spec
    write_json(layout.root / "dataset_description.json", _description("raw", "data"))
    write_text(
        layout.root / "README",
        README.format(space=SPACE, block_s=spec.block_s),
    )
    write_tsv(layout.root / "participants.tsv", participants_table(layout))
    write_json(layout.root / "participants.json", _PARTICIPANTS)
    events = layout.root / f"task-{spec.task}_events.json"
    write_json(events, _events_sidecar(spec))
    for folder, content in (
        (layout.fmriprep, "recordings in template space, in fMRIPrep's file names"),
        (layout.truth, "planted activations"),
    ):
        description = _description("derivative", content)
        write_json(folder / "dataset_description.json", description)
        write_text(folder / ".bidsignore", BIDSIGNORE)
        text = README.format(space=SPACE, block_s=spec.block_s)
        write_text(folder / "README", text)
    foci = load_foci().query("condition in @spec.conditions")
    write_tsv(layout.truth / "foci.tsv", foci)


def participants_table(layout: Layout) -> pd.DataFrame:
    """Draw who took part, one row a subject."""
    rows = []
    for subject in range(1, layout.spec.subjects + 1):
        rng = random_source(layout.spec, subject, 0)
        rows.append(
            {
                "participant_id": layout.subject(subject),
                "age": int(rng.integers(18, 36)),
                "sex": str(rng.choice(["F", "M"])),
                "site": str(rng.choice(SITES)),
            }
        )
    return pd.DataFrame(rows)


def bold_sidecar(spec: CohortSpec) -> dict[str, Any]:
    """Describe a recording."""
    return {
        "Description": "Simulated recording on the MNI152 template (2009a, symmetric).",
        "RepetitionTime": spec.t_r,
        "TaskName": spec.task,
        "SkullStripped": False,
        "SliceTimingCorrected": True,
    }


def mask_sidecar() -> dict[str, Any]:
    """Describe a brain mask."""
    return {
        "Description": "Brain mask of the MNI152 template (2009a, symmetric).",
        "Type": "Brain",
    }


def map_sidecar(condition: str, who: str) -> dict[str, Any]:
    """Describe a planted map."""
    return {
        "Description": f"Planted activation of {who}: {MOVEMENTS[condition].lower()}.",
        "Condition": condition,
        "Units": "percent signal change at the plateau of a block",
    }


def _description(kind: str, content: str) -> dict[str, Any]:
    try:
        release = version("boldformer")
    except PackageNotFoundError:
        release = "unknown"
    return {
        "Name": f"BoldFormer simulated somatotopic mapping: {content}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": kind,
        "License": "CC0",
        "Authors": ["BoldFormer simulation", "no participants"],
        "GeneratedBy": [
            {
                "Name": "BoldFormer simulation",
                "Version": release,
                "Description": "Simulated; fMRIPrep was not run.",
            }
        ],
    }


_PARTICIPANTS = {
    "age": {"Description": "Drawn at random; shapes nothing.", "Units": "year"},
    "sex": {
        "Description": "Drawn at random; shapes nothing.",
        "Levels": {"F": "female", "M": "male"},
    },
    "site": {
        "Description": "Drawn at random; shapes nothing.",
        "Levels": {name: f"imagined scanner in the {name}" for name in SITES},
    },
}


def _events_sidecar(spec: CohortSpec) -> dict[str, Any]:
    return {
        "TaskName": spec.task,
        "trial_type": {
            "Description": "Body part that moves during the block.",
            "Levels": {name: MOVEMENTS[name] for name in spec.conditions},
        },
        "StimulusPresentation": {"SoftwareName": "none: simulated"},
    }
