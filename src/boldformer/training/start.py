"""Closed-form linear weights: for linear models, and for skip paths of networks."""

from __future__ import annotations

import numpy as np
import torch

from boldformer.data.audit.fit_log import FitLog
from boldformer.models.linear import LinearReadout
from boldformer.training.linear_decoder import (
    LinearDecoder,
    fit_temperature,
    gram_matrix,
)
from boldformer.training.screening import grouped_folds
from boldformer.training.source import WindowSource, gather_means

CROSS_FOLDS = 5
# Where every window is decoded rightly the best temperature is none at all; logits
# without bound would leave the network nothing but the smoothing of the labels.
LOWEST_TEMPERATURE = 0.2


def fit_readout(
    readout: LinearReadout,
    source: WindowSource,
    labels: np.ndarray,
    groups: np.ndarray,
    log: FitLog,
    decoder: LinearDecoder | None = None,
) -> None:
    """Fit a linear decoder to the means of all windows, into a readout.

    Parameters
    ----------
    readout : LinearReadout
        Changed in place: the softmax of its logits becomes the decoder's probability.
    source : WindowSource
        Windows.
    labels : ndarray of int, shape (n_windows,)
        Classes.
    groups : ndarray of str, shape (n_windows,)
        What the decoder's inner folds keep apart.
    log : FitLog
        Takes in which windows it was fitted to.
    decoder : LinearDecoder, optional
        Settings; those of a network's skip path by default.
    """
    rows = np.arange(len(source))
    means = gather_means(source, rows)
    log.record("linear path" if decoder is None else "linear weights", rows)
    if decoder is not None:
        log.record("penalty and voxels", rows, purpose="select")
        decoder.fit(means, labels, groups)
        _set(readout, source, decoder, decoder.temperature_)
    else:
        decoder = LinearDecoder("logistic").fit(means, labels, groups)
        _set(readout, source, decoder, max(decoder.temperature_, LOWEST_TEMPERATURE))


def _set(
    readout: LinearReadout,
    source: WindowSource,
    decoder: LinearDecoder,
    temperature: float,
) -> None:
    """Write a fitted decoder's weights, divided by a temperature, into a readout."""
    weight, bias = _every_class(
        decoder, decoder.coef_, decoder.intercept_, len(readout.bias)
    )
    readout.set_weights(
        torch.as_tensor(source.unmask(weight / temperature)),
        torch.as_tensor(bias / temperature),
    )


def start_readout(
    readout: LinearReadout,
    source: WindowSource,
    means: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    log: FitLog,
) -> np.ndarray:
    """Fit a linear decoder into `readout`; return its logits on groups not seen.

    Parameters
    ----------
    readout : LinearReadout
        Changed in place: the decoder of all the windows.
    source : WindowSource
        Says where the voxels belong on the grid.
    means : ndarray, shape (n_windows, n_voxels)
        Mean volumes of the windows.
    labels : ndarray of int, shape (n_windows,)
        Classes.
    groups : ndarray of str, shape (n_windows,)
        Two at least.
    log : FitLog
        Takes in which windows it was fitted to.

    Returns
    -------
    ndarray of float32, shape (n_windows, n_outputs)
        Logits of each window by a decoder fitted without the window's group, all
        divided by the temperature at which they are best calibrated; the readout's
        weights are divided by it as well.
    """
    n_outputs = len(readout.bias)
    gram = gram_matrix(means)
    crossed = np.empty((len(labels), n_outputs))
    # Stratifying takes a class that is in every fold.
    most = min(CROSS_FOLDS, max(2, int(np.bincount(labels).max())))
    for train, test in grouped_folds(labels, groups, most):
        decoder = LinearDecoder()
        decoder.fit_gram(gram[np.ix_(train, train)], labels[train], groups[train])
        weight, bias = _every_class(
            decoder, decoder.dual_coef_, decoder.intercept_, n_outputs
        )
        crossed[test] = gram[np.ix_(test, train)] @ weight.T + bias
    temperature = max(fit_temperature(crossed, labels), LOWEST_TEMPERATURE)
    log.record("linear path", np.arange(len(means)))
    decoder = LinearDecoder().fit(means, labels, groups)
    _set(readout, source, decoder, temperature)
    return (crossed / temperature).astype(np.float32)


def _every_class(
    decoder: LinearDecoder, weight: np.ndarray, bias: np.ndarray, n_outputs: int
) -> tuple[np.ndarray, np.ndarray]:
    """One row a class, where two classes share one and absent ones have none."""
    if len(weight) == 1:
        weight = np.concatenate([-weight, weight]) / 2
        bias = np.concatenate([-bias, bias]) / 2
    rows = np.zeros((n_outputs, weight.shape[1]))
    biases = np.full(n_outputs, bias.min() - 1.0)
    rows[decoder.classes_], biases[decoder.classes_] = weight, bias
    return rows, biases
