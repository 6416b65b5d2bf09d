"""A training that was killed, and divided ones, equal the one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("trained.py")
# Everything that has a state: augmentation, sampler, average, schedule, stopping.
SETTINGS = {
    "max_epochs": 5,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "patience": 2,
    "early_stopping_groups": 4,
    "balance": "sampler",
    "accumulate": 2,
    "mixup": 0.4,
    "noise": 0.1,
    "gain": 0.1,
    "field": 0.1,
    "rotation_deg": 3.0,
    "warp_voxels": 0.5,
    "frame_drop": 0.2,
    "time_jitter": 1,
}
# Five groups of eight windows in batches of eight, each of two pieces; then the sixth.
PIECES, READS = 10, 11


PLAIN = {**SETTINGS, "max_epochs": 3, "mixup": 0.0, "accumulate": 1}
KILLS = {"in an epoch": READS + 6, "between epochs": 2 * READS + 1}


def train(jobs, launcher=()):
    """Exit codes of the jobs of `trained.py`."""
    command = [sys.executable, *launcher, str(SCRIPT), json.dumps(jobs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300
    )
    codes = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "["]
    assert done.returncode == 0, done.stderr
    assert codes, done.stderr
    return codes


def outcome(folder, rank=0):
    history = pd.read_csv(folder / f"history-{rank}.tsv", sep="\t")
    return load_file(folder / f"model-{rank}.safetensors"), history


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of all trainings in one process, and how each ended."""
    root = tmp_path_factory.mktemp("trained")
    jobs = [("whole", SETTINGS, 0), ("single", PLAIN, 0)]
    jobs += [("pieces", {**PLAIN, "accumulate": 3}, 0)]
    for name, after in KILLS.items():
        jobs += [(name, SETTINGS, after), (name, SETTINGS, 0)]
    (codes,) = train([(str(root / name), *rest) for name, *rest in jobs])
    return root, codes


def test_only_those_that_were_to_be_killed_were(trained):
    _, codes = trained
    assert codes == [0, 0, 0, -signal.SIGKILL, 0, -signal.SIGKILL, 0]


@pytest.mark.parametrize("name", KILLS)
def test_killed_and_resumed_equals_uninterrupted(trained, name):
    folder, whole = trained[0] / name, trained[0] / "whole"
    weights, history = outcome(folder)
    expected, expected_history = outcome(whole)
    assert expected_history["epoch"].max() >= 3
    pd.testing.assert_frame_equal(history, expected_history, check_exact=True)
    assert [k for k in expected if not torch.equal(weights[k], expected[k])] == []
    draws = (folder / "draws.jsonl").read_text()
    assert draws == (whole / "draws.jsonl").read_text()
    lines = [json.loads(line) for line in draws.splitlines()]
    assert len(lines) == PIECES // SETTINGS["accumulate"] * len(history)
    assert {len(line["rows"]) for line in lines} == {8}


def assert_close(folder, rank, expected):
    weights, history = outcome(folder, rank)
    assert weights.keys() == expected[0].keys()
    for name, value in expected[0].items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-5)
    pd.testing.assert_frame_equal(history, expected[1], rtol=1e-4)


def test_accumulated_pieces_equal_the_whole_batch(trained):
    assert_close(trained[0] / "pieces", 0, outcome(trained[0] / "single"))


def test_two_processes_equal_one(trained, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert train([(str(tmp_path), PLAIN, 0)], launcher) == [[0], [0]]
    single = trained[0] / "single"
    for rank in (0, 1):
        assert_close(tmp_path, rank, outcome(single))
    first, second = outcome(tmp_path, 0), outcome(tmp_path, 1)
    assert [k for k in first[0] if not torch.equal(first[0][k], second[0][k])] == []
    draws = (tmp_path / "draws.jsonl").read_text()
    assert draws == (single / "draws.jsonl").read_text()
