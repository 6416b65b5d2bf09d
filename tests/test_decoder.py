"""The decoder as a scikit-learn classifier, on recordings and on arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from boldformer import Decoder, open_dataset
from boldformer.config import (
    DataConfig,
    ModelConfig,
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
    WindowConfig,
)
from boldformer.data.cohort import Cohort, read_cohort
from boldformer.data.recording import Dataset
from boldformer.errors import InputError, MismatchError
from boldformer.models.base import DecoderModel
from boldformer.training.estimate import estimate, probabilities

MakeBids = Callable[..., Path]
QUICK = TrainingConfig(max_epochs=3, batch_size=8)


def arrays(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.tile(["a", "b"], n // 2)
    X = rng.standard_normal((n, 3, 6, 6, 6)).astype(np.float32)
    X[y == "a", :, :3] += 0.5
    return X, y, np.repeat(np.arange(4), n // 4)


@pytest.mark.parametrize("model", ["linear", "hybrid"])
def test_recordings_of_new_subjects_are_decoded(
    model: str, make_bids: MakeBids
) -> None:
    dataset = open_dataset(make_bids(subjects=5, runs=2, preprocessed=True))
    decoder = Decoder(model, training=QUICK).fit(dataset.subjects("train"))
    test = dataset.subjects("test")
    assert decoder.score(test) > 0.8
    probabilities = decoder.predict_proba(test.recordings[0])
    assert probabilities.shape == (8, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(decoder.predict(test)) <= {"left", "right"}


def test_maps_lie_on_the_recordings_grid(make_bids: MakeBids) -> None:
    dataset = open_dataset(make_bids(subjects=2, runs=2, preprocessed=True))
    decoder = Decoder("linear").fit(dataset)
    maps = decoder.explain(dataset, method="saliency")
    assert maps["left"].shape == (9, 10, 8)
    left = maps["left"].get_fdata()
    # The class is planted in the half of the brain with the lower x.
    assert left[2:5].sum() > left[5:8].sum()
    with pytest.raises(InputError, match="no attention"):
        decoder.explain(dataset, method="attention")
    with pytest.raises(InputError, match="unknown method"):
        decoder.explain(dataset, method="magic")


def test_data_prepared_otherwise_are_refused(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset = open_dataset(make_bids(subjects=2, runs=1, preprocessed=True))
    decoder = Decoder("linear").fit(dataset)
    other = Decoder("linear", preprocessing=PreprocessingConfig(detrend_order=3))
    asked = RunConfig(preprocessing=other.preprocessing)
    windows = read_cohort(dataset, asked, tmp_path / "a", progress=False).windows
    with pytest.raises(MismatchError, match="prepared otherwise"):
        decoder.predict(windows)
    smaller = PreprocessingConfig(volume_shape=(8, 8, 8))
    cropped = Decoder("linear", preprocessing=smaller).fit(dataset)
    cropped.preparation_ = replace(
        cropped.preparation_, pipeline=decoder.preparation_.pipeline
    )
    with pytest.raises(MismatchError, match="grid"):
        cropped.predict(dataset)


def test_arrays_of_windows_volumes_and_features() -> None:
    X, y, _ = arrays()
    for array in (X, X.mean(axis=1), X.reshape(len(X), -1)):
        decoder = Decoder("linear").fit(array, y)
        assert decoder.score(array, y) > 0.9
    with pytest.raises(InputError, match="3 dimensions"):
        Decoder("linear").fit(X.reshape(len(X), 3, -1), y)


def test_grid_search_with_groups() -> None:
    X, y, groups = arrays()
    search = GridSearchCV(
        Decoder("linear"),
        {"model_parameters": [{"loss": "svm"}, {"loss": "logistic"}]},
        cv=GroupKFold(4),
    )
    search.fit(X, y, groups=groups)
    assert search.best_score_ > 0.8


def test_windows_of_recordings_can_be_searched_over(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset = open_dataset(make_bids(subjects=3, runs=1, preprocessed=True))
    windows = read_cohort(dataset, RunConfig(), tmp_path / "a", progress=False).windows
    search = GridSearchCV(
        Decoder("linear"),
        {"model_parameters": [{"C": 0.1}, {"C": 1.0}]},
        cv=GroupKFold(3),
    )
    search.fit(windows, windows.labels.astype(str), groups=windows.groups)
    assert search.best_score_ > 0.8


def test_clone_keeps_parameters_and_drops_the_fit() -> None:
    X, y, _ = arrays()
    decoder = Decoder("linear", model_parameters={"C": 0.5}).fit(X, y)
    copy = clone(decoder)
    assert copy.get_params() == decoder.get_params()
    assert not hasattr(copy, "model_")


def test_labels_of_any_kind_come_back() -> None:
    X, y, _ = arrays()
    numbers = np.where(y == "a", 7, 3)
    decoder = Decoder("linear").fit(X, numbers)
    assert decoder.classes_.tolist() == [3, 7]
    assert set(decoder.predict(X)) <= {3, 7}


def test_windows_of_another_mask_are_read_in_the_decoders_own(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    """Otherwise each of its weights would meet another voxel."""
    root = make_bids(subjects=3, runs=2, preprocessed=True)
    for file in root.rglob("sub-03*desc-brain_mask.nii.gz"):
        image = nib.load(file)
        mask = np.asarray(image.dataobj).copy()
        mask[2:4] = 0
        nib.save(nib.Nifti1Image(mask, image.affine), file)
    dataset, store = open_dataset(root), tmp_path / "store"
    some = dataset.filter(lambda recording: recording.subject != "03")
    other = dataset.filter(lambda recording: recording.subject == "03")
    decoder = Decoder("linear", store=store).fit(some)
    windows = read_cohort(other, RunConfig(), store, progress=False).windows
    assert windows.mask.shape != decoder.preparation_.mask[windows.box].shape or (
        windows.grid_mask.sum() < decoder.preparation_.mask.sum()
    )
    np.testing.assert_array_equal(
        decoder.predict_proba(windows), decoder.predict_proba(other)
    )


def test_what_is_set_aside_is_told_once_in_fitting_and_in_predicting(
    make_bids: MakeBids, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_bids(subjects=3, runs=1, preprocessed=True)
    damaged = next(root.rglob("sub-03*preproc_bold.nii.gz"))
    damaged.write_bytes(damaged.read_bytes()[:2000])
    dataset = with_late_event(open_dataset(root))
    decoder = Decoder("linear").fit(dataset)
    assert any("sub-03" in what for what, _ in decoder.set_aside_)
    assert sum("sub-03" in message for message in caplog.messages) == 1
    assert sum("leaves the run" in message for message in caplog.messages) == 1
    caplog.clear()
    decoder.predict_proba(dataset)
    assert sum("sub-03" in message for message in caplog.messages) == 1
    assert sum("leaves the run" in message for message in caplog.messages) == 1
    assert all(record.levelname == "WARNING" for record in caplog.records)
    caplog.clear()
    decoder.predict_proba(open_dataset(root).subjects("01"))
    assert not caplog.messages


def with_late_event(dataset: Dataset, onset: float = 500.0) -> Dataset:
    """The first run gets an event after its end."""
    first = dataset.recordings[0]
    events = pd.concat([first.events, first.events.assign(onset=onset)[:1]])
    late = replace(first, events=events)
    return replace(dataset, recordings=(late, *dataset.recordings[1:]))


@pytest.fixture(scope="module")
def tiny(write_bids: MakeBids, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("tiny") / "bids"
    return open_dataset(write_bids(root, subjects=3, runs=1, preprocessed=True))


@pytest.fixture(scope="module")
def reversed_decoder(tiny: Dataset) -> Decoder:
    """A decoder whose model knows its classes in another order than the sorted one."""
    labels = ["right", "left"]
    return Decoder("hybrid", labels=labels, training=QUICK).fit(tiny)


def test_classes_are_sorted_whatever_the_order_of_the_labels(
    tiny: Dataset, reversed_decoder: Decoder, tmp_path: Path
) -> None:
    decoder = reversed_decoder
    assert decoder.classes_.tolist() == ["left", "right"]
    assert decoder.model_classes_.tolist() == ["right", "left"]
    given = decoder.predict_proba(tiny)
    left = decoder.predict(tiny) == "left"
    np.testing.assert_array_equal(given.argmax(axis=1) == 0, left)
    assert decoder.score(tiny) > 0.7
    store = tmp_path / "store"
    windows = read_cohort(tiny, RunConfig(), store, progress=False).windows
    again = Decoder("linear", labels=["right", "left"]).fit(windows)
    assert again.classes_.tolist() == ["left", "right"]
    assert again.score(windows) > 0.7
    assert set(np.unique(windows.labels)) == set(again.classes_)
    truth = windows.labels.astype(str)
    assert log_loss(truth, again.predict_proba(windows)) < 0.6


def test_a_map_belongs_to_the_class_it_is_named_after(
    tiny: Dataset, reversed_decoder: Decoder
) -> None:
    for decoder in (
        Decoder("linear", labels=["right", "left"]).fit(tiny),
        reversed_decoder,
    ):
        maps = decoder.explain(tiny, method="saliency")
        assert list(maps) == ["left", "right"]
        left, right = (maps[name].get_fdata() for name in ("left", "right"))
        # Each class is planted in one half of the brain.
        assert left[2:5].sum() > left[5:8].sum()
        assert right[5:8].sum() > right[2:5].sum()


def test_a_decoder_around_a_model_keeps_the_models_order(
    tiny: Dataset, tmp_path: Path
) -> None:
    cohort, model = fitted_elsewhere(tiny, tmp_path / "store")
    decoder = Decoder.from_model(model, cohort, QUICK, pd.DataFrame())
    assert decoder.model_classes_.tolist() == ["right", "left"]
    assert decoder.classes_.tolist() == ["left", "right"]
    assert decoder.score(cohort.windows) > 0.7
    direct = probabilities(model, cohort.windows, QUICK, cohort.windows.t_r)
    given = decoder.predict_proba(cohort.windows)
    np.testing.assert_array_equal(given, direct[:, ::-1])


def fitted_elsewhere(dataset: Dataset, store: Path) -> tuple[Cohort, DecoderModel]:
    asked = RunConfig(data=DataConfig(labels=("right", "left")))
    cohort = read_cohort(dataset, asked, store, progress=False)
    model, _ = estimate(
        ModelConfig("hybrid"),
        QUICK,
        cohort.windows,
        cohort.targets,
        cohort.windows.groups,
        n_outputs=2,
        t_r=cohort.windows.t_r,
        classes=cohort.labels,
        progress=False,
    )
    return cohort, model


def test_a_decoder_that_was_not_fitted_says_so(tiny: Dataset, tmp_path: Path) -> None:
    X, y, _ = arrays()
    failed = Decoder("linear").fit(X, y)
    with pytest.raises(InputError, match="more than one class"):
        failed.fit(X, np.full(len(X), "a"))
    for decoder in (Decoder("linear"), failed, clone(Decoder("linear").fit(X, y))):
        for use in (
            decoder.predict,
            decoder.predict_proba,
            decoder.predict_events,
            decoder.score,
            decoder.explain,
        ):
            for given in (X, tiny, tiny.recordings[0], None):
                with pytest.raises(NotFittedError):
                    use(given)
        with pytest.raises(NotFittedError):
            decoder.methods()
        with pytest.raises(NotFittedError):
            decoder.save(tmp_path / "decoder")
    assert not (tmp_path / "decoder").exists()


def test_a_decoder_fitted_anew_shares_nothing_with_its_former_self(
    tiny: Dataset, tmp_path: Path
) -> None:
    X, y, _ = arrays()
    decoder = Decoder("linear").fit(tiny)
    decoder.fit(X, y)
    assert not hasattr(decoder, "preparation_")
    assert decoder.set_aside_ == []
    with pytest.raises(MismatchError, match="fitted to arrays"):
        decoder.predict(tiny)
    with pytest.raises(InputError, match="no place in the brain"):
        decoder.explain(X)
    loaded = Decoder.load(decoder.save(tmp_path / "decoder"))
    np.testing.assert_array_equal(loaded.predict(X), decoder.predict(X))
    decoder.fit(tiny)
    assert not hasattr(decoder, "n_features_in_")
    assert decoder.score(tiny) > 0.7


def test_a_decoder_can_be_fitted_again_to_windows_of_another_length(
    make_bids: MakeBids, tmp_path: Path
) -> None:
    dataset, store = open_dataset(make_bids(preprocessed=True)), tmp_path / "store"
    decoder = Decoder("linear", store=store).fit(dataset)
    asked = RunConfig(window=WindowConfig(length_s=12.0))
    windows = read_cohort(dataset, asked, store, progress=False).windows
    decoder.fit(windows)
    assert decoder.preparation_.window.length_s == 12.0


NEEDS_MORE = {
    "check_array_api_input": "networks read numpy arrays; torch moves them itself",
}


@parametrize_with_checks(
    [Decoder("linear")], expected_failed_checks=lambda _: NEEDS_MORE
)
def test_scikit_learn_checks(estimator: Decoder, check: Callable) -> None:
    check(estimator)
