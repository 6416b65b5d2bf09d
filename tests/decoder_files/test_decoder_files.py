"""A decoder on disk: what comes back, and what older folders hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone

from boldformer import Decoder, open_dataset
from boldformer.config import (
    DataConfig,
    ModelConfig,
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
    WindowConfig,
)
from boldformer.data.cohort import read_cohort
from boldformer.data.recording import Dataset
from boldformer.errors import OutputExistsError
from boldformer.training.estimate import estimate

MakeBids = Callable[..., Path]
MakeOld = Callable[[Path], None]
QUICK = TrainingConfig(max_epochs=2, batch_size=8)
MACHINE = ("augmentation", "store", "n_jobs", "progress")


def kept(decoder: Decoder) -> dict[str, Any]:
    params = decoder.get_params()
    return {name: params[name] for name in params if name not in MACHINE}


def test_saved_and_loaded_decoders_agree(make_bids: MakeBids, tmp_path: Path) -> None:
    dataset = open_dataset(make_bids(subjects=2, runs=2, preprocessed=True))
    decoder = Decoder("hybrid", training=QUICK).fit(dataset)
    folder = decoder.save(tmp_path / "decoder")
    assert {p.suffix for p in folder.iterdir()} <= {
        ".safetensors",
        ".json",
        ".md",
        ".gz",
    }
    loaded = Decoder.load(folder)
    run = dataset.recordings[0]
    np.testing.assert_array_equal(loaded.predict_proba(run), decoder.predict_proba(run))
    assert loaded.explain(run).keys() == {"left", "right"}
    (folder / "notes.txt").write_text("mine")
    decoder.save(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_saving_replaces_no_file_but_a_decoders(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset = open_dataset(make_bids(subjects=2, runs=2, preprocessed=True))
    decoder = Decoder("linear").fit(dataset)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"other files.*received README.md"):
        decoder.save(tmp_path / "project")
    assert [p.name for p in (tmp_path / "project").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"labels": ["right", "left"], "model_parameters": {"C": 0.5}},
        {
            "labels": ("left", "right"),
            "preprocessing": PreprocessingConfig(
                detrend_order=2, confounds=("motion",)
            ),
            "window": WindowConfig(delay_s=4.0, stride_s=2.0, length_s=4.0),
            "training": TrainingConfig(seed=3),
        },
    ],
)
def test_a_loaded_decoder_has_the_parameters_of_the_saved_one(
    asked: dict[str, Any], dataset: Dataset, tmp_path: Path
) -> None:
    decoder = Decoder("linear", n_jobs=1, store=tmp_path / "store", **asked)
    loaded = Decoder.load(decoder.fit(dataset).save(tmp_path / "decoder"))
    assert kept(loaded) == kept(decoder)
    assert type(loaded.labels) is type(decoder.labels)
    again = clone(loaded).fit(dataset)
    same(again, decoder, dataset)
    again.save(tmp_path / "again")
    assert kept(Decoder.load(tmp_path / "again")) == kept(decoder)


def same(one: Decoder, other: Decoder, dataset: Dataset) -> None:
    assert one.classes_.tolist() == other.classes_.tolist()
    assert one.preparation_.pipeline.hash == other.preparation_.pipeline.hash
    assert one.preparation_.window == other.preparation_.window
    np.testing.assert_allclose(
        one.predict_proba(dataset), other.predict_proba(dataset), rtol=1e-5
    )


def test_parameters_of_a_decoder_of_arrays_come_back(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((12, 2, 5, 5, 5)).astype(np.float32)
    decoder = Decoder("hybrid", model_parameters={"width": 16}, training=QUICK)
    decoder.fit(X, np.tile([7, 3], 6))
    loaded = Decoder.load(decoder.save(tmp_path / "decoder"))
    assert kept(loaded) == kept(decoder)
    assert loaded.classes_.tolist() == [3, 7]
    np.testing.assert_array_equal(loaded.predict_proba(X), decoder.predict_proba(X))


@pytest.mark.parametrize("model", ["linear", "hybrid"])
def test_a_copy_of_a_wrapped_decoder_is_fitted_as_the_model_was(
    model: str, dataset: Dataset, tmp_path: Path
) -> None:
    """As `boldformer run` saves it, from settings of its own."""
    parameters = {"hybrid": {"width": 16}, "linear": {"C": 0.1}}[model]
    asked = RunConfig(
        data=DataConfig(labels=("right", "left")),
        preprocessing=PreprocessingConfig(detrend_order=2),
        window=WindowConfig(delay_s=4.0),
        model=ModelConfig(model, parameters),
        training=QUICK,
    )
    cohort = read_cohort(dataset, asked, tmp_path / "store", progress=False)
    windows = cohort.windows
    found, result = estimate(
        asked.model,
        QUICK,
        windows,
        cohort.targets,
        windows.groups,
        n_outputs=2,
        t_r=windows.t_r,
        classes=cohort.labels,
        progress=False,
    )
    wrapped = Decoder.from_model(found, cohort, QUICK, result.history)
    loaded = Decoder.load(wrapped.save(tmp_path / "decoder"))
    assert kept(loaded) == kept(wrapped)
    again = clone(loaded).fit(dataset)
    same(again, wrapped, dataset)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(again.model_.state_dict()[name], value)
    assert loaded.labels == ("right", "left")


def test_an_older_folder_loads_and_its_classes_are_sorted(
    fitted: Decoder, folder: Path, dataset: Dataset, make_old: MakeOld
) -> None:
    make_old(folder)
    assert json.loads((folder / "decoder.json").read_text())["classes"][0] == "right"
    loaded = Decoder.load(folder)
    assert loaded.classes_.tolist() == ["left", "right"]
    given = loaded.predict_proba(dataset)
    np.testing.assert_array_equal(given, fitted.predict_proba(dataset))
    assert loaded.score(dataset) > 0.7
    left = loaded.explain(dataset, "saliency")["left"].get_fdata()
    assert left[2:5].sum() > left[5:8].sum()
    same(clone(loaded).fit(dataset), fitted, dataset)


def test_a_leaky_decoder_says_so_and_stays_so(
    fitted: Decoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    dataset: Dataset,
) -> None:
    Decoder.load(fitted.save(tmp_path / "sound"))
    assert not caplog.messages
    loaded = Decoder.load(fitted.save(tmp_path / "leaky", leaky=True))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "LEAKY" in caplog.text
    caplog.clear()
    Decoder.load(loaded.save(tmp_path / "again"))
    assert "LEAKY" in caplog.text
    caplog.clear()
    Decoder.load(loaded.fit(dataset).save(tmp_path / "fresh"))
    assert not caplog.messages
