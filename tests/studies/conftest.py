"""Finished runs to tamper with, and a forger who covers up what is changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from boldformer import config
from boldformer.data.hashes import file_hash
from boldformer.studies import run_decoding

FinishRun = Callable[..., Path]


@dataclass
class Forger:
    """Changes files of a run, and rewrites the hashes of what was changed."""

    out: Path

    def cover(self, *files: str) -> None:
        for name, kinds in (("record", ["files"]), ("report", ["files", "drawn_from"])):
            path = self.out / f"{name}.json"
            record = json.loads(path.read_text())
            for file in files:
                for kind in kinds:
                    if file in record[kind]:
                        record[kind][file] = file_hash(self.out / file)
            path.write_text(json.dumps(record))

    def edit(self, file: str, change: Callable[[dict], object]) -> None:
        content = json.loads((self.out / file).read_text())
        change(content)
        (self.out / file).write_text(json.dumps(content))
        self.cover(file)

    def metrics(self, change: Callable[[dict], object]) -> None:
        self.edit("metrics.json", change)

    def table(self, file: str, change: Callable[[pd.DataFrame], object]) -> None:
        """Change a table; what `change` returns, if it is a table, is written."""
        table = pd.read_csv(self.out / file, sep="\t", dtype=str, keep_default_na=False)
        changed = change(table)
        table = changed if isinstance(changed, pd.DataFrame) else table
        table.to_csv(self.out / file, sep="\t", index=False)
        self.cover(file)

    def settings(self, section: str, **values: object) -> None:
        plain = config.to_dict(config.load(self.out / "run.toml"))
        plain[section] |= values
        changed = config.from_dict(config.RunConfig, plain)
        (self.out / "run.toml").write_text(config.to_toml(changed))
        self.cover("run.toml")


@pytest.fixture(scope="session")
def finish_run(
    tmp_path_factory: pytest.TempPathFactory, write_bids: Callable[..., Path]
) -> FinishRun:
    """Return a function that simulates a dataset, decodes it and returns the folder."""

    def finish(**evaluation: object) -> Path:
        root = tmp_path_factory.mktemp("finished") / "bids"
        write_bids(root, subjects=4, runs=2)
        values = {
            "data": {"path": str(root)},
            # With a penalty of its own: the baseline of its kind is another decoder.
            "model": {"name": "linear", "parameters": {"C": 1.0}},
            "evaluation": {"n_resamples": 50, "linear_permutations": 9, **evaluation},
        }
        settings = config.from_dict(config.RunConfig, values)
        run_decoding(settings, root.parent / "out", progress=False)
        return root.parent / "out"

    return finish


@pytest.fixture(scope="session")
def plain_run(finish_run: FinishRun) -> Path:
    """Return the folder of a linear run; not to be changed."""
    return finish_run()


@pytest.fixture(scope="session")
def full_run(finish_run: FinishRun) -> Path:
    """Return the folder of a linear run with all that can be asked for besides."""
    return finish_run(calibrate=True, n_permutations=3, learning_curve=True)


@pytest.fixture
def plain(plain_run: Path, tmp_path: Path) -> Forger:
    """Return a copy of the linear run, to tamper with."""
    return Forger(shutil.copytree(plain_run, tmp_path / "out"))


@pytest.fixture
def full(full_run: Path, tmp_path: Path) -> Forger:
    """Return a copy of the run with temperatures and shuffles, to tamper with."""
    return Forger(shutil.copytree(full_run, tmp_path / "out"))
