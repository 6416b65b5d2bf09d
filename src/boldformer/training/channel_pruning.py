"""Structured pruning: a smaller network of the same kind, cut out of a trained one."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from boldformer.errors import InputError, import_extra
from boldformer.models.attention import LocationPooling
from boldformer.models.base import DecoderModel
from boldformer.models.layers import ConvStage, VolumeEncoder, stage_channels
from boldformer.training.devices import local_seed, resolve_device
from boldformer.training.source import WindowSource


@dataclass(frozen=True)
class Channels:
    """Sizes that pruning changes: parameters of the model by these names.

    Parameters
    ----------
    stem_channels, out_channels : int
        Channels before and after the last halving of the encoder.
    """

    stem_channels: int
    out_channels: int


def channels_of(model: DecoderModel) -> Channels:
    """Sizes of a model's encoder.

    Raises
    ------
    InputError
        When the model has no encoder of volumes that can be pruned.
    """
    config = model.get_config()
    if not isinstance(getattr(model, "encoder", None), VolumeEncoder):
        raise InputError(
            f"a {type(model).__name__} cannot be pruned",
            wanted="a model whose volumes go through convolutions: hybrid or cnn3d",
        )
    return Channels(config["stem_channels"], config["out_channels"])


def resized(model: DecoderModel, channels: Channels) -> DecoderModel:
    """Build an untrained model that differs in the sizes of its encoder only."""
    with local_seed(0):
        return type(model).from_config(model.get_config() | asdict(channels))


def prune(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    channels: Channels,
    *,
    times_s: np.ndarray | None = None,
    batch_size: int = 16,
    device: str = "auto",
) -> DecoderModel:
    """Keep the channels of the encoder that the loss depends on most.

    The importance of a channel is a first-order Taylor estimate of what the loss
    changes without it: the sum of ``|weight| · g`` over the weights that produce it,
    and that read it, in convolutions and linear layers, where g is the root mean square
    over batches of the weight's gradient (a plain mean would vanish where training has
    ended). Which weights these are, and what else goes with a channel, is told by the
    dependency graph of the torch-pruning library.

    What is left are slices of the weights in a model of the smaller sizes, which is
    saved, counted and streamed as any other. Its group norms may divide the fewer
    channels into other groups, so it needs some training before it is any good.

    Parameters
    ----------
    model : DecoderModel
        Trained model with a `VolumeEncoder`; left as it is.
    windows : WindowSource
        Training windows; no others may have a say.
    labels : ndarray of int, shape (n_windows,)
        Their classes.
    channels : Channels
        Sizes to keep, none larger than the model's.
    times_s : ndarray, shape (n_times,), optional
        Seconds of the frames.
    batch_size : int
        Windows at a time.
    device : {"auto", "cpu", "cuda"}
        Where to compute gradients.

    Returns
    -------
    DecoderModel
        In evaluation mode, on the CPU.

    Raises
    ------
    InputError
        For a model or sizes that cannot be pruned.
    MissingExtraError
        Without the library torch-pruning.

    References
    ----------
    Molchanov, P. et al. (2019). Importance estimation for neural network pruning. CVPR.
    Fang, G. et al. (2023). DepGraph: towards any structural pruning. CVPR.
    """
    _check_sizes(channels_of(model), channels)
    library = import_extra("torch_pruning", "prune")
    cut = copy.deepcopy(model).requires_grad_(True).eval()
    cut.to(resolve_device(device))
    times = None if times_s is None else torch.as_tensor(times_s, dtype=torch.float32)
    _gather_gradients(cut, windows, np.asarray(labels), times, batch_size)
    _cut_channels(library, cut.cpu(), channels)
    smaller = resized(model, channels)
    smaller.load_state_dict(cut.state_dict())
    return smaller.eval()


def _check_sizes(now: Channels, wanted: Channels) -> None:
    for name, size in asdict(wanted).items():
        largest = getattr(now, name)
        if not 1 <= size <= largest:
            raise InputError(
                f"{name} cannot be pruned to this",
                wanted=f"from 1 to {largest}",
                received=str(size),
            )


def _gather_gradients(
    model: DecoderModel,
    windows: WindowSource,
    labels: np.ndarray,
    times_s: Tensor | None,
    batch_size: int,
) -> None:
    """Leave root mean squares of the batches' gradients as the weights' gradients."""
    weights = list(model.parameters())
    squares = [torch.zeros_like(weight) for weight in weights]
    n_batches = max(1, -(-len(windows) // batch_size))
    for rows in np.array_split(np.arange(len(windows)), n_batches):
        x = torch.from_numpy(windows.batch(rows)).to(weights[0].device)
        targets_B = torch.from_numpy(labels[rows]).to(x.device)
        loss = nn.functional.cross_entropy(model(x, times_s), targets_B)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        for square, gradient in zip(squares, gradients, strict=True):
            if gradient is not None:
                square += gradient**2
    for weight, square in zip(weights, squares, strict=True):
        weight.grad = (square / n_batches).sqrt()


def _cut_channels(library: ModuleType, model: DecoderModel, channels: Channels) -> None:
    """Remove the least important channels in place, and all that belongs to them."""
    graph = library.DependencyGraph().build_dependency(
        model,
        torch.zeros(1, 1, *_input_shape(model)),
        forward_fn=lambda module, x: module.forward_features(x),
        customized_pruners={LocationPooling: _pooling_pruner(library)},
        verbose=False,
    )
    importance = library.importance.GroupTaylorImportance()
    encoder: Any = model.encoder
    stages = [stage for stage in encoder.stages if isinstance(stage, ConvStage)]
    widths = stage_channels(len(stages), channels.stem_channels, channels.out_channels)
    for stage, kept in zip(stages, widths, strict=True):
        cut = library.prune_conv_out_channels
        whole = graph.get_pruning_group(
            stage.conv, cut, list(range(stage.conv.out_channels))
        )
        order = importance(whole).argsort().tolist()
        least = sorted(order[: len(order) - kept])
        if least:
            graph.get_pruning_group(stage.conv, cut, least).prune()


def _input_shape(model: DecoderModel) -> tuple[int, ...]:
    channels = () if model.in_channels == 1 else (model.in_channels,)
    return (*channels, *model.volume_shape)


def _pooling_pruner(library: ModuleType) -> Any:
    """How the library takes input channels out of a `LocationPooling`."""

    class PoolingPruner(library.BasePruningFunc):  # type: ignore[name-defined]
        def prune_in_channels(self, layer: Any, idxs: list[int]) -> Any:
            n_positions, n_channels = layer.position.shape
            kept = np.setdiff1d(np.arange(n_channels), idxs)
            value = layer.value.detach().unflatten(1, (n_positions, n_channels))
            layer.value = nn.Parameter(value[:, :, kept].flatten(1, 2))
            layer.position = nn.Parameter(layer.position.detach()[:, kept])
            layer.score.weight = nn.Parameter(layer.score.weight.detach()[:, kept])
            layer.score.in_features = len(kept)
            return layer

        def get_in_channels(self, layer: Any) -> int:
            return layer.position.shape[1]

        def get_out_channels(self, layer: Any) -> int:
            return layer.bias.shape[0]

        def prune_out_channels(self, layer: Any, idxs: list[int]) -> Any:
            raise NotImplementedError("the width of tokens is not pruned")

    return PoolingPruner()
