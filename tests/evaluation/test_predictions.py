"""What is written can be read back to the last digit, and weights have one hash."""

import io

import numpy as np
import pandas as pd
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from boldformer.evaluation.predictions import as_written, weights_hash
from boldformer.models import create


@given(arrays(np.float32, (4, 3), elements=st.floats(0, 1, width=32)))
def test_a_table_gives_back_what_was_scored(values):
    written = as_written(values)
    np.testing.assert_allclose(written, values, rtol=1e-7, atol=1e-30)
    np.testing.assert_array_equal(as_written(written), written)
    text = pd.DataFrame(written).to_csv(index=False)
    read = pd.read_csv(io.StringIO(text), dtype=str)
    np.testing.assert_array_equal(read.to_numpy().astype(float), written)


def test_missing_stays_missing():
    assert np.isnan(as_written(np.array([[np.nan, 0.5]]))[0, 0])


def test_one_weight_changes_the_hash():
    model = create("linear", n_outputs=2, n_times=1, volume_shape=(2, 2, 2))
    before = weights_hash(model)
    assert before == weights_hash(model)
    with torch.no_grad():
        model.readout.weight[0, 0] += 1e-6
    assert weights_hash(model) != before
