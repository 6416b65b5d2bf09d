"""Fields of a decoder's settings are read, set, searched over and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

from boldformer import Decoder
from boldformer.config import PreprocessingConfig, TrainingConfig, WindowConfig
from boldformer.decoder_parameters import from_record, to_record
from boldformer.errors import InputError

QUICK = TrainingConfig(max_epochs=1, batch_size=8)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.tile(["a", "b"], 8)
    return rng.standard_normal((16, 2, 6, 6, 6)).astype(np.float32), y


def test_fields_are_listed_and_set_although_no_section_was_given() -> None:
    decoder = Decoder("hybrid")
    listed = decoder.get_params()
    assert listed["training"] is None
    assert listed["training__learning_rate"] == TrainingConfig().learning_rate
    assert listed["window__delay_s"] == WindowConfig().delay_s
    assert listed["preprocessing__detrend_order"] == 1
    assert listed["model_parameters__width"] > 0
    same = decoder.set_params(
        training__learning_rate=1e-4,
        window__length_s=8,
        preprocessing__confounds=["motion"],
        model_parameters__width=32,
        n_jobs=2,
    )
    assert same is decoder
    assert decoder.training == TrainingConfig(learning_rate=1e-4)
    assert decoder.window == WindowConfig(length_s=8.0)
    assert decoder.preprocessing == PreprocessingConfig(confounds=("motion",))
    assert decoder.model_parameters == {"width": 32}
    assert decoder.n_jobs == 2
    assert "training__learning_rate" not in decoder.get_params(deep=False)


def test_a_section_is_set_before_its_fields_and_never_changed_in_place() -> None:
    parameters = {"width": 16}
    decoder = Decoder(training=QUICK, model_parameters=parameters)
    copy = clone(decoder)
    copy.set_params(training__seed=np.int64(3), model_parameters__n_heads=2)
    assert copy.training == replace(QUICK, seed=3)
    assert type(copy.training.seed) is int
    assert decoder.training == QUICK
    assert parameters == {"width": 16}
    copy.set_params(training__seed=4, training=TrainingConfig(max_epochs=7))
    assert copy.training == TrainingConfig(max_epochs=7, seed=4)
    copy.set_params(model_parameters__C=2.0, model="linear", model_parameters=None)
    assert copy.model_parameters == {"C": 2.0}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("trainings", "did you mean 'training'"),
        ("training__lerning_rate", "did you mean 'learning_rate'"),
        ("trainin__seed", "did you mean 'training'"),
        ("window__delay", "did you mean 'delay_s'"),
        ("preprocessing__smooth", "did you mean 'smooth_"),
        ("model_parameters__widht", "did you mean 'width'"),
        ("n_jobs__x", "unknown parameter with fields"),
        ("training__", "unknown setting"),
    ],
)
def test_unknown_names_are_refused_and_nothing_is_set(name: str, told: str) -> None:
    decoder = Decoder("hybrid")
    with pytest.raises(InputError, match=told):
        decoder.set_params(**{"n_jobs": 5, "window__delay_s": 1.0, name: 1})
    assert decoder.get_params() == Decoder("hybrid").get_params()


def test_values_of_another_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"training__learning_rate.*wanted float"):
        Decoder().set_params(training__learning_rate="fast")
    assert Decoder("no model").get_params()["model"] == "no model"


def test_a_search_varies_fields() -> None:
    X, y = arrays()
    decoder = Decoder("hybrid", model_parameters={"width": 16})
    grid: dict[str, list[Any]] = {
        "training__max_epochs": [1],
        "training__learning_rate": [1e-4, 1e-2],
        "window__delay_s": [4.0],
        "preprocessing__smooth_mm": [0.0],
        "model_parameters__n_heads": [2],
    }
    search = GridSearchCV(decoder, grid, cv=2).fit(X, y)
    assert search.best_estimator_.training_.max_epochs == 1
    assert search.best_estimator_.model_.n_heads == 2
    rates = {p["training__learning_rate"] for p in search.cv_results_["params"]}
    assert rates == {1e-4, 1e-2}
    drawn = {"model_parameters__C": np.logspace(-2, 2, 9)}
    random = RandomizedSearchCV(Decoder("linear"), drawn, n_iter=2, cv=2)
    assert random.fit(X, y).best_params_.keys() == drawn.keys()


def test_a_notebook_shows_what_was_given_only() -> None:
    shown = Decoder("linear", window=WindowConfig(delay_s=4.0))._repr_html_()
    assert "window" in shown
    assert "training__learning_rate" not in shown


def test_parameters_come_back_from_json_as_they_were() -> None:
    step = {"step": "smooth", "fwhm_mm": 4.0}
    decoder = Decoder(
        "hybrid",
        model_parameters={"width": np.int64(16), "sizes": (1, [2, (3,)])},
        labels=["b", "a"],
        preprocessing=PreprocessingConfig(
            steps=(step,), confound_options={"n_compcor": 3}
        ),
        window=WindowConfig(stride_s=2.0),
        training=QUICK,
    )
    for params in (decoder.get_params(deep=False), Decoder().get_params(deep=False)):
        text = json.dumps(to_record(params), allow_nan=False)
        back = from_record(json.loads(text))
        assert back == {name: params[name] for name in back}
        assert type(back["labels"]) is type(params["labels"])
    labels = clone(decoder).set_params(labels=np.array(["x", "y"])).labels
    assert to_record({**decoder.get_params(), "labels": labels})["labels"] == ["x", "y"]


@pytest.mark.parametrize(
    "record",
    [
        {"training": []},
        {"training": {"lerning_rate": 1}},
        {"window": {"delay_s": "late"}},
        {"labels": "ab"},
        {"labels": [[]]},
        {"model_parameters": 3},
        {"store": "/elsewhere"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(record: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        from_record(record)
