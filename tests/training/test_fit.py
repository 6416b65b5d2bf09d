"""Training: it learns, it stops, it resumes exactly, it says what is wrong."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from boldformer.config import TrainingConfig
from boldformer.errors import BoldFormerError, InputError, MismatchError
from boldformer.models import create
from boldformer.training import ArrayWindows, fit_model, local_seed, predict_proba
from boldformer.training.fit import HISTORY_COLUMNS
from boldformer.training.linear_decoder import LinearDecoder

SHAPE = (10, 9, 8)
CONFIG = TrainingConfig(
    max_epochs=4,
    early_stopping_groups=4,
    batch_size=8,
    learning_rate=3e-3,
    patience=8,
    device="cpu",
    precision="32",
)


def planted(n_groups=6, per_group=8, strength=1.5, seed=0):
    """Windows of three classes, each a blob in its own place, for several groups."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(3), n_groups * per_group)[: n_groups * per_group]
    groups = np.repeat([f"sub-{i}" for i in range(n_groups)], per_group)
    x = rng.normal(size=(len(labels), 4, *SHAPE)).astype(np.float32)
    for window, label in zip(x, labels, strict=True):
        window[:, 2 + 2 * label : 4 + 2 * label, 3:6, 3:6] += strength
    return ArrayWindows(x), labels, groups


def build(name="hybrid", n_outputs=3, **parameters):
    with local_seed(0):
        return create(
            name, n_outputs=n_outputs, n_times=4, volume_shape=SHAPE, **parameters
        )


def fit(model, data, config=CONFIG, **kwargs):
    return fit_model(model, *data, config, progress=False, **kwargs)


class Breaking(ArrayWindows):
    """Windows whose reading is broken off by the user after some batches."""

    def __init__(self, source, left):
        super().__init__(source.windows, source.mask)
        self.left = left

    def batch(self, indices):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().batch(indices)


@pytest.mark.parametrize("name", ["cnn3d", "hybrid", "linear", "transformer"])
def test_it_learns_what_is_planted(name):
    model, data = build(name), planted()
    fit(model, data, replace(CONFIG, max_epochs=12))
    windows, labels, _ = planted(seed=1)
    probability = predict_proba(model, windows, device="cpu", precision="32")
    assert probability.shape == (48, 3)
    np.testing.assert_allclose(probability.sum(1), 1.0)
    assert (probability.argmax(1) == labels).mean() > 0.9


def test_the_network_learns_without_the_linear_path():
    model = build(linear_skip=False)
    fit(model, planted(), replace(CONFIG, max_epochs=12))
    windows, labels, _ = planted(seed=1)
    assert (predict_proba(model, windows).argmax(1) == labels).mean() > 0.8


@pytest.mark.parametrize("loss", ["svm", "logistic"])
@pytest.mark.parametrize("n_outputs", [2, 3])
def test_a_linear_model_has_the_probabilities_of_its_decoder(loss, n_outputs):
    windows, labels, groups = planted(strength=0.5)
    labels = labels % n_outputs
    model = build("linear", n_outputs=n_outputs, loss=loss)
    result = fit(model, (windows, labels, groups))
    assert (result.epochs, len(result.history)) == (0, 0)
    decoder = LinearDecoder(loss=loss)
    means = windows.means(np.arange(len(windows)))
    decoder.fit(means, labels, groups)
    np.testing.assert_allclose(
        predict_proba(model, windows, precision="32"),
        decoder.predict_proba(means),
        atol=1e-4,
    )


def test_a_linear_path_before_is_the_linear_decoder_and_its_offsets_are_honest():
    rng = np.random.default_rng(0)
    noise = ArrayWindows(rng.normal(size=(60, 4, *SHAPE)).astype(np.float32))
    labels, groups = np.arange(60) % 3, np.repeat(list("abcdef"), 10)
    model = build()
    result = fit(model, (noise, labels, groups), replace(CONFIG, linear_path="before"))
    means = torch.from_numpy(noise.means(np.arange(60)))
    logits = model.skip(means).detach()
    # The linear path knows its training windows by heart; the network was trained
    # beside logits that did not.
    assert (logits.argmax(1).numpy() == labels).mean() == 1.0
    assert result.history["train_accuracy"].iloc[0] < 0.75


def test_history_and_early_stopping():
    result = fit(build(), planted(), replace(CONFIG, max_epochs=6, patience=2))
    assert tuple(result.history.columns) == HISTORY_COLUMNS
    assert result.history["epoch"].tolist() == list(range(1, result.epochs + 1))
    assert result.early_stopping
    assert result.history.notna().all().all()
    assert result.best_epoch == last_best(result.history)
    assert result.seconds > 0


def test_without_groups_to_hold_out_it_trains_to_the_end():
    result = fit(build(), planted(n_groups=3, per_group=12))
    assert not result.early_stopping
    assert result.epochs == result.best_epoch == CONFIG.max_epochs
    assert result.history["validation_loss"].isna().all()


def test_patience_ends_training_and_the_best_weights_are_kept(tmp_path):
    # At this rate the network does not improve for long.
    config = replace(CONFIG, max_epochs=40, patience=1, learning_rate=3e-2)
    model, data = build(), planted(strength=0.3)
    result = fit(model, data, config, checkpoint_dir=tmp_path)
    assert result.epochs < 40
    assert result.best_epoch == last_best(result.history)
    again = build()
    repeated = fit(again, data, config, checkpoint_dir=tmp_path)
    assert repeated.history.equals(result.history)
    assert_same_weights(again, model)


def last_best(history):
    accuracy = history["validation_accuracy"]
    return history["epoch"][accuracy == accuracy.max()].iloc[-1]


def assert_same_weights(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


def test_the_same_seed_gives_the_same_model_and_another_one_does_not():
    first, second, third = build(), build(), build()
    data = planted()
    fit(first, data)
    fit(second, data)
    fit(third, data, replace(CONFIG, seed=1))
    assert_same_weights(first, second)
    assert not torch.equal(first.head.weight, third.head.weight)


@pytest.mark.parametrize("left", [3, 13, 19])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, left, monkeypatch):
    def no_pickle(*args, **kwargs):
        raise AssertionError("a pickle was read or written")

    monkeypatch.setattr(torch, "load", no_pickle)
    monkeypatch.setattr(torch, "save", no_pickle)
    windows, labels, groups = planted()
    whole = build()
    expected = fit(whole, (windows, labels, groups), checkpoint_dir=tmp_path / "a")

    handler = signal.getsignal(signal.SIGINT)
    data = (Breaking(windows, left), labels, groups)
    with pytest.raises(KeyboardInterrupt):
        fit(build(), data, checkpoint_dir=tmp_path / "b")
    assert signal.getsignal(signal.SIGINT) is handler

    resumed = build()
    data = (windows, labels, groups)
    result = fit(resumed, data, checkpoint_dir=tmp_path / "b")
    assert result.history.equals(expected.history)
    assert_same_weights(resumed, whole)
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"last.ckpt"}


def test_a_checkpoint_of_other_labels_is_refused(tmp_path):
    windows, labels, groups = planted()
    config = replace(CONFIG, max_epochs=1)
    fit(build(), (windows, labels, groups), config, checkpoint_dir=tmp_path)
    with pytest.raises(MismatchError, match="other data or settings"):
        fit(build(), (windows, labels[::-1], groups), config, checkpoint_dir=tmp_path)


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    windows, labels, groups = planted()
    fit(build(), (windows, labels, groups), checkpoint_dir=tmp_path)
    other = ArrayWindows(windows.windows + 1)
    with pytest.raises(MismatchError, match="other data"):
        fit(build(), (other, labels, groups), checkpoint_dir=tmp_path)


def test_global_randomness_is_left_alone():
    before = torch.get_rng_state()
    fit(build(), planted(), replace(CONFIG, max_epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_values_that_are_not_numbers_stop_training():
    windows, labels, groups = planted()
    windows.windows[5, 0, 4, 4, 4] = np.nan
    with pytest.raises(BoldFormerError, match="not numbers"):
        fit(build(linear_skip=False), (windows, labels, groups))


def test_divergence_is_named():
    model = build(linear_skip=False)
    torch.nn.init.constant_(model.head.weight, float("inf"))
    with pytest.raises(BoldFormerError, match=r"diverged in epoch 1.*learning rate"):
        fit(model, planted())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, g: (y[:-1], g), "do not fit the windows"),
        (lambda y, g: (y + 1, g), "do not fit the model"),
        (lambda y, g: (y * 0, g), "only one class"),
    ],
)
def test_impossible_labels_are_refused(change, message):
    windows, labels, groups = planted()
    with pytest.raises(InputError, match=message):
        fit(build(), (windows, *change(labels, groups)))


def test_an_absent_device_is_refused():
    with pytest.raises(InputError, match="not here"):
        fit(build(), planted(), replace(CONFIG, device="cuda:99"))


def test_times_of_each_window_are_used():
    model, (windows, labels, groups) = build(), planted()
    times = np.tile(2.0 * np.arange(4), (len(labels), 1))
    config = replace(CONFIG, max_epochs=1)
    fit(model, (windows, labels, groups), config, times_s=times)
    shared = predict_proba(model, windows, times_s=2.0 * np.arange(4))
    np.testing.assert_allclose(predict_proba(model, windows, times_s=times), shared)
    times[:, 2:] = np.nan
    assert not np.allclose(predict_proba(model, windows, times_s=times), shared)


def test_bf16_stays_close_to_32_bits():
    model, data = build(), planted()
    fit(model, data)
    exact = predict_proba(model, data[0], precision="32")
    rounded = predict_proba(model, data[0], precision="bf16")
    np.testing.assert_allclose(rounded, exact, atol=0.05)


def test_the_progress_bar_shows_epochs(capfd):
    config = replace(CONFIG, max_epochs=2)
    fit_model(build(), *planted(), config, progress=True)
    shown = capfd.readouterr()
    assert "epoch=2/2" in shown.err
    assert shown.out == ""
    fit_model(build(), *planted(), config, progress=False)
    assert capfd.readouterr() == ("", "")


def test_an_empty_batch_of_windows_is_nothing():
    model = build()
    empty = ArrayWindows(np.zeros((0, 4, *SHAPE), dtype=np.float32))
    assert predict_proba(model, empty).shape == (0, 3)


@pytest.mark.parametrize(
    ("linear_path", "n_groups", "same_as"),
    [("auto", 6, "beside"), ("auto", 3, "before"), ("beside", 3, "beside")],
)
def test_a_linear_path_comes_before_the_network_with_few_groups(
    linear_path, n_groups, same_as
):
    models = build(), build()
    for model, chosen in zip(models, (linear_path, same_as), strict=True):
        config = replace(CONFIG, max_epochs=1, linear_path=chosen)
        fit(model, planted(n_groups=n_groups), config)
    one, other = models
    assert one.skip.weight.any()
    torch.testing.assert_close(one.state_dict(), other.state_dict())


def test_a_network_beside_its_linear_path_is_trained_by_itself():
    alone, beside = build(), build()
    config = replace(CONFIG, max_epochs=1)
    fit(alone, planted(), replace(config, linear_path="off"))
    fit(beside, planted(), replace(config, linear_path="beside"))
    assert not alone.skip.weight.any()
    assert beside.skip.weight.any()
    for name, weight in alone.state_dict().items():
        if not name.startswith("skip"):
            torch.testing.assert_close(beside.state_dict()[name], weight)


def test_an_unknown_linear_path_is_refused():
    with pytest.raises(InputError, match="unknown linear_path"):
        fit(build(), planted(), replace(CONFIG, linear_path="maybe"))


def test_held_out_windows_have_no_part_in_the_weights(monkeypatch):
    """Neither by their data nor by how often their classes occur."""
    windows, labels, groups = planted()
    held = groups == "sub-5"
    monkeypatch.setattr("boldformer.training.fit.held_out_groups", lambda *a, **k: held)
    once = replace(CONFIG, max_epochs=1, linear_path="off")
    first, second = build(), build()
    result = fit(first, (windows, labels, groups), once)
    np.testing.assert_array_equal(result.held_out, np.flatnonzero(held))
    turned = windows.windows.copy()
    turned[held] = 100.0
    other = np.where(held, 0, labels)
    fit(second, (ArrayWindows(turned), other, groups), once)
    assert_same_weights(first, second)
