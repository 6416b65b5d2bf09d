"""A decoder on disk: safetensors and JSON, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from boldformer.config import TrainingConfig, from_dict, to_dict
from boldformer.data.preparation import Preparation
from boldformer.training import saved


class SavedMixin:
    """What saves and loads a `boldformer.Decoder`."""

    def save(self: Any, folder: str | Path, card: str = "") -> Path:
        """Write the decoder as safetensors and JSON.

        Parameters
        ----------
        folder : path
            New folder; an existing one is replaced once the new one is complete.
        card : str
            Markdown for its ``README.md``.

        Returns
        -------
        Path
            The folder.
        """
        check_is_fitted(self)
        record: dict[str, Any] = {
            "classes": self.classes_.tolist(),
            "t_r": self.t_r_,
            "model": self.model,
            "model_parameters": dict(self.model_parameters or {}),
            "training": to_dict(self.training_),
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

        Raises
        ------
        InputError
            When the folder holds no decoder this version can read.
        """
        model, record, place = saved.read(Path(folder))
        training = from_dict(TrainingConfig, record["training"])
        decoder: Any = cls(
            record["model"],  # type: ignore[call-arg]
            model_parameters=record["model_parameters"],
            training=training,
        )
        decoder.classes_, decoder.t_r_ = np.array(record["classes"]), record["t_r"]
        decoder.model_, decoder.training_ = model, training
        if place is None:
            decoder.n_features_in_ = record["n_features_in"]
        else:
            decoder.preparation_ = Preparation.from_record(record, *place)
        return decoder
