"""The layerwise prior: the fan-in of each weight, as Keras' layers use it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tfbdl_priors.config import LayerwiseOptions
from tfbdl_priors.layerwise import Layerwise

from tfbdl import functional

layers = keras.layers
PRIOR = Layerwise(LayerwiseOptions(gain=3.0, scale=0.6))


@pytest.mark.parametrize(
    ("shape", "scale"),
    [((16, 5), 3 / 4), ((3, 3, 4, 8), 3 / 6), ((7,), 0.6), ((), 0.6), ((9, 1), 1.0)],
)
def test_layerwise_scale_follows_the_fan_in(shape, scale):
    p = PRIOR.distribution(shape)
    np.testing.assert_allclose(p.stddev(), np.full(shape, scale), rtol=1e-6)


LAYERS = {  # layer, shape of its input, fan-in of each weight; None: a bias
    "dense": (layers.Dense(7), (5,), {"kernel": 5, "bias": None}),
    "embedding": (layers.Embedding(100, 4), (6,), {"embeddings": 1}),
    "gru": (
        layers.GRU(3), (5, 4), {"kernel": 4, "recurrent_kernel": 3, "bias": None},
    ),
    "lstm": (layers.LSTM(3), (5, 4), {"kernel": 4, "recurrent_kernel": 3, "bias": None}),
    "conv": (layers.Conv2D(7, 3), (8, 8, 4), {"kernel": 36, "bias": None}),
    "depthwise": (
        layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 4), {"kernel": 9, "bias": None},
    ),
    "separable": (
        layers.SeparableConv1D(7, 3), (8, 4),
        {"depthwise_kernel": 3, "pointwise_kernel": 4, "bias": None},
    ),
    "transpose": (layers.Conv2DTranspose(7, 3), (8, 8, 4), {"kernel": 36, "bias": None}),
    "attention": (
        layers.MultiHeadAttention(2, 3), (5, 4),
        {f"{part}.kernel": 4 for part in ("query", "key", "value")}
        | {f"{part}.bias": None for part in ("query", "key", "value", "attention_output")}
        | {"attention_output.kernel": 6},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layerwise_knows_the_weights_of_keras_layers(name):
    layer, shape, expected = LAYERS[name]
    inputs = keras.Input(shape)
    net = keras.Model(inputs, layer(inputs, inputs) if name == "attention" else layer(inputs))
    named = functional.site_names(net)
    prior, seen = PRIOR, set()
    for site, variable in named.items():
        (end,) = [end for end in expected if site.endswith(f".{end}")]
        seen.add(end)
        fan_in = expected[end]
        stddev = prior.distribution(variable.shape, name=site).stddev().numpy()
        assert np.ravel(stddev)[0] == pytest.approx(3.0 / fan_in**0.5 if fan_in else 0.6), site
    assert seen == set(expected)
