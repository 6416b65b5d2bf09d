"""What is no recordings, windows or array is refused in a line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from boldformer import Decoder, open_dataset
from boldformer.config import TrainingConfig
from boldformer.data.recording import Dataset, Recording
from boldformer.errors import InputError

MakeBids = Callable[..., Path]
IMAGE = nib.Nifti1Image(np.zeros((4, 4, 4, 9), dtype=np.float32), np.eye(4))
EVENTS = pd.DataFrame({"onset": [1.0], "duration": [2.0], "trial_type": ["left"]})
RECORDING = Recording(Path("sub-01_bold.nii.gz"), 2.0, "01")

NONSENSE: dict[str, tuple[Any, str]] = {
    "nothing": (None, r"nothing \(None\)"),
    "an image": (IMAGE, "an image.*open_dataset"),
    "images": ([IMAGE, IMAGE], "list of Nifti1Image"),
    "a path as text": ("sub-01_bold.nii.gz", "text 'sub-01_bold.nii.gz'.*open_dataset"),
    "a path": (Path("bids"), "text 'bids'.*open_dataset"),
    "paths": (["a.nii", "b.nii"], "list of str"),
    "bytes": (b"0", "text"),
    "an object": ({"X": [[1.0]]}, "a dict"),
    "objects": ([{"a": 1}], "list of dict"),
    "events": (EVENTS, r"columns that hold no numbers \(onset, duration, trial_type"),
    "a set": ({1.0, 2.0}, "a set"),
    "a generator": ((x for x in ()), "a generator"),
    "a number": (3.0, "a float"),
    "a function": (len, "a builtin_function_or_method"),
    "recordings": ([RECORDING], "list of Recordings.*of a Dataset"),
    "no recordings": (Dataset("x", Path(), ()), "Dataset is empty"),
}


@pytest.fixture(scope="module")
def fitted() -> Decoder:
    rng = np.random.default_rng(0)
    return Decoder("linear").fit(rng.standard_normal((8, 5)), ["a", "b"] * 4)


@pytest.mark.parametrize(("given", "told"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_refused_in_one_line(
    given: Any, told: str, fitted: Decoder
) -> None:
    for use in (
        lambda: Decoder("linear").fit(given, ["a", "b"]),
        lambda: fitted.predict(given),
        lambda: fitted.predict_proba(given),
        lambda: fitted.predict_events(given),
        lambda: fitted.score(given, ["a"]),
        lambda: fitted.explain(given),
    ):
        with pytest.raises(InputError, match=told) as caught:
            use()
        assert "\n" not in str(caught.value)
        assert "wanted" in str(caught.value)


def test_lists_and_tables_of_numbers_are_arrays(fitted: Decoder) -> None:
    X = np.random.default_rng(1).standard_normal((3, 5))
    for given in (X, X.tolist(), pd.DataFrame(X), list(X)):
        np.testing.assert_array_equal(fitted.predict(given), fitted.predict(X))


def test_one_recording_can_be_fitted_to(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids(subjects=1, runs=1, preprocessed=True))
    decoder = Decoder("linear").fit(dataset.recordings[0])
    assert decoder.classes_.tolist() == ["left", "right"]


def test_labels_and_windows_of_another_number_are_refused(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    from boldformer.config import RunConfig
    from boldformer.data.cohort import read_cohort

    dataset = open_dataset(make_bids(subjects=1, runs=1, preprocessed=True))
    windows = read_cohort(dataset, RunConfig(), tmp_path / "s", progress=False).windows
    with pytest.raises(InputError, match=r"differ in number.*wanted 8 labels"):
        Decoder("linear").fit(windows, ["left", "right"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model_parameters": {"width": "wide"}}, "a whole number; received 'wide'"),
        ({"training": TrainingConfig(batch_size=0)}, "batch_size"),
        ({"training": TrainingConfig(device="cuda")}, "device"),
    ],
)
def test_settings_are_checked_before_recordings_are_prepared(
    parameters: dict, message: str, tmp_path: Path
) -> None:
    nowhere = Dataset("none", tmp_path, (Recording(tmp_path / "x.nii.gz", 2.0, "1"),))
    with pytest.raises(InputError, match=message):
        Decoder("hybrid", **parameters).fit(nowhere)
