"""Attention that cannot stand where it is put, or has no closed form, is refused in words."""

import numpy as np
import pytest
from tfbdl_nngp import Kernel, layers

from tfbdl import errors

TOKENS = np.random.default_rng(0).normal(size=(3, 1, 3, 4))
RELU = layers.Activation("relu")
POOL = layers.GlobalAveragePooling()


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ([layers.Flatten(), layers.Attention(), layers.Dense()], "needs places.*Received: vectors"),
        ([POOL, layers.Attention()], r"sequences \[n, 1, length, channels\], not yet flattened"),
        ([layers.Attention()], "Expected: Flatten or GlobalAveragePooling"),
        ([layers.Attention(), RELU, RELU, POOL], "normal pre-activations"),
    ],
)
def test_attention_that_cannot_stand_there_is_refused(chain, message):
    with pytest.raises(errors.ModelError, match=message):
        Kernel(chain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scaling": "liner"}, "scaling must be one of linear, square_root. Did you mean 'linear'"),
        ({"activation": "relu"}, "activation must be one of softmax, identity"),
        (
            {"scaling": "square_root", "activation": "softmax"},
            "no closed form. Expected: activation='identity', or scaling='linear'",
        ),
        ({"query_variance": 0.0}, "query_variance must be a finite number above 0"),
        ({"key_variance": -1.0}, "key_variance must be a finite number above 0"),
        ({"value_variance": "one"}, "value_variance must be a finite number above 0"),
        ({"output_variance": np.inf}, "output_variance must be a finite number above 0"),
        ({"bias_variance": -0.1}, "bias_variance must be a finite number of at least 0"),
        ({"position_variance": -0.1}, "position_variance must be a finite number of at least 0"),
        ({"position_variance": 1.0, "position_decay": 0.0}, "position_decay must be a finite numb"),
        ({"position_decay": 1.0}, "Expected: position_variance above 0.*Received: 0.0"),
        ({"position_values": True}, "Expected: position_variance above 0.*Received: 0.0"),
    ],
)
def test_options_that_are_none_are_refused(options, message):
    with pytest.raises(errors.OptionsError, match=message):
        layers.Attention(**options)


def test_inputs_without_places_are_refused():
    with pytest.raises(errors.DataError, match=r"takes images.*Received: shape \[3, 4\]"):
        Kernel([layers.Attention(), POOL]).nngp(TOKENS[:, 0, 0])
    with pytest.raises(errors.DataError, match=r"rows of one shape.*\[1, 3, 4\] and \[1, 2, 4\]"):
        Kernel([layers.Attention(), POOL]).nngp(TOKENS, TOKENS[:, :, :2])
