"""Small machines and their enumeration, which the tests of Boltzmann machines share."""

import itertools

import numpy as np
from tfbdl_rbm.model import RBM


def states(size):
    return np.array(list(itertools.product([0.0, 1.0], repeat=size)))


def machine(num_visible=6, num_hidden=4, scale=0.7, **options):
    """A machine with weights and biases from a normal distribution, in float64."""
    model = RBM(num_visible, num_hidden, dtype="float64", **options)
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(scale * rng.normal(size=variable.shape))
    return model


def weights_of(model):
    return tuple(np.asarray(v) for v in (model.kernel, model.visible_bias, model.hidden_bias))


def joint_table(model):
    """Unnormalised log p(v, h) of binary units, over all states: ``[2^d, 2^hidden]``."""
    W, b, c = weights_of(model)
    v, h = states(len(b)), states(len(c))
    return (v @ b)[:, np.newaxis] + h @ c + v @ W @ h.T


def bars_and_stripes(size=3):
    rows = set()
    for bits in itertools.product([0, 1], repeat=size):
        image = np.tile(np.array(bits)[:, np.newaxis], (1, size))
        rows |= {tuple(image.ravel()), tuple(image.T.ravel())}
    return np.array(sorted(rows), "float32")


def binary_rows(n=64, size=6, seed=0):
    """Rows of which the halves are copies of one another."""
    half = np.random.default_rng(seed).integers(0, 2, (n, size // 2))
    return np.concatenate([half, half], axis=1).astype("float32")
