"""A decoder on disk: safetensors and JSON, there and back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from boldformer import decoder_parameters
from boldformer.config import (
    PreprocessingConfig,
    TrainingConfig,
    WindowConfig,
    from_dict,
    to_dict,
)
from boldformer.data.preparation import Preparation
from boldformer.models.registry import name_of
from boldformer.training import saved

logger = logging.getLogger(__name__)


class SavedMixin:
    """What saves and loads a `boldformer.Decoder`."""

    def save(
        self: Any, folder: str | Path, card: str = "", *, leaky: bool = False
    ) -> Path:
        """Write the decoder as safetensors and JSON.

        Parameters
        ----------
        folder : path
            New folder; an existing one is replaced once the new one is complete.
        card : str
            Markdown for its ``README.md``.
        leaky : bool
            Whether the scores that are published with it are; `load` then warns. What
            was loaded as leaky stays so.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputExistsError
            When files of these names are there, and no decoder.
        """
        check_is_fitted(self)
        record: dict[str, Any] = {
            # In the order of the model's output.
            "classes": self.model_classes_.tolist(),
            "t_r": self.t_r_,
            "model": name_of(self.model_),
            "model_parameters": dict(self.model_parameters or {}),
            "training": to_dict(self.training_),
            "parameters": decoder_parameters.to_record(self.get_params(deep=False)),
            "leaky": leaky or getattr(self, "leaky_", False),
        }
        place = None
        if hasattr(self, "preparation_"):
            record |= self.preparation_.to_record()
            place = self.preparation_.grid, self.preparation_.mask
        else:
            record["n_features_in"] = int(self.n_features_in_)
        saved.write(Path(folder), self.model_, record, place, card)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a decoder that `save` wrote.

        Its parameters are those it was saved with, but for those that are about a
        machine or are code: ``augmentation``, ``store``, ``n_jobs``, ``progress``.

        Parameters
        ----------
        folder : path
            Of a decoder.

        Returns
        -------
        Decoder
            Fitted; a copy by `sklearn.base.clone` is fitted in the same way.

        Raises
        ------
        InputError
            When the folder holds no decoder this version can read, or was changed
            after it was written.
        """
        model, record, place = saved.read(Path(folder))
        decoder: Any = cls(**_parameters(record))
        training = from_dict(TrainingConfig, record["training"], "training.")
        decoder._take_model(model, np.array(record["classes"]), training)
        decoder.t_r_ = record["t_r"]
        if place is None:
            decoder.n_features_in_ = record["n_features_in"]
        else:
            decoder.preparation_ = Preparation.from_record(record, *place)
        decoder.leaky_ = record.get("leaky", False)
        if decoder.leaky_:
            logger.warning(
                "%s: the scores published with this decoder are LEAKY: its training "
                "and test data were not apart",
                folder,
            )
        return decoder


def _parameters(record: dict[str, Any]) -> dict[str, Any]:
    """Parameters that a decoder was saved with, or that say how it was made."""
    if "parameters" in record:
        return decoder_parameters.from_record(record["parameters"])
    found = {
        "model": record["model"],
        "model_parameters": record["model_parameters"],
        "training": from_dict(TrainingConfig, record["training"], "training."),
    }
    if "pipeline" in record:
        found["labels"] = tuple(record["classes"])
        found["window"] = from_dict(WindowConfig, record["window"], "window.")
        found["preprocessing"] = PreprocessingConfig(steps=tuple(record["pipeline"]))
    return found
