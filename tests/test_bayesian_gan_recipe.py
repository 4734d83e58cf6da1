"""The recipe's log posteriors of many nets and sets of noise, beside the paper's equations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats
from tfbdl_bayesian_gan.recipe import Rows
from tfbdl_bayesian_gan.stacked import StackedNet

from tests.bayesian_gan_cases import rows, small
from tfbdl import random


def with_weights(stack: StackedNet, params: dict[str, tf.Tensor], j: int, x: np.ndarray) -> Any:
    """The outputs of net j, run by itself, in float64."""
    own = {name: value[j] for name, value in params.items()}
    return np.asarray(stack.one(own, tf.constant(x)), "float64")


def log_normal(params: dict[str, tf.Tensor], j: int) -> float:
    return sum(float(stats.norm.logpdf(value[j]).sum()) for value in params.values())


@pytest.mark.parametrize("rule", ["algorithm", "log_mean_exp"])
def test_posteriors_of_many_nets_and_sets_of_noise_are_those_of_the_equations(rule: str) -> None:
    """J_g = 2, J_d = 3, two sets of four z, three classes: eq. 1, 2, 7 and 8 in NumPy."""
    J_g, J_d, S, n, N, N_s = 2, 3, 2, 4, 5.0, 3.0
    model = small(
        generators=J_g, discriminators=J_d, num_classes=3, noise_sets=S, batch_size=n,
        marginal=rule, label_weight=2.0,
    )  # fmt: skip
    recipe = model.recipe(model.options, N, int(N_s), minibatches=False)
    g, d = (model.chain.params(role) for role in ("generator", "discriminator"))
    x, key = rows(6), random.key(4)
    labels = np.array([0, 2, 1])
    data = Rows(tf.constant(x), tf.constant(x[:3]), tf.constant(labels, tf.int32))

    def fakes(role: str) -> np.ndarray:  # [J_g, S, n, 3]
        z = model.latents.sample(J_g * S * n, random.fold_in(key, role)).numpy()
        z = z.reshape(J_g, S * n, -1)
        made = [with_weights(model.nets.generators, g, j, z[j]) for j in range(J_g)]
        return np.stack(made).reshape(J_g, S, n, -1).astype("float32")

    def log_probs(i: int, of: np.ndarray) -> np.ndarray:
        flat = with_weights(model.nets.discriminators, d, i, of.reshape(-1, of.shape[-1]))
        return special.log_softmax(flat, axis=-1).reshape(*of.shape[:-1], 4)

    def marginal(each: np.ndarray) -> float:
        if rule == "algorithm":
            return float(np.mean(each))
        return float(special.logsumexp(each) - np.log(each.size))

    def real(log_p: np.ndarray) -> np.ndarray:
        return special.logsumexp(log_p[..., 1:], axis=-1)

    made = fakes("generators")
    for j, found in enumerate(recipe.of_generators(g, d, data, key)[0].numpy()):
        each = [N * real(log_probs(i, made[j, s])).mean() for i in range(J_d) for s in range(S)]
        assert found == pytest.approx(marginal(np.array(each) + log_normal(g, j)), rel=1e-5)
    made = fakes("discriminators")
    for i, found in enumerate(recipe.of_discriminators(d, g, data, key)[0].numpy()):
        known = 2.0 * N_s * log_probs(i, x[:3])[np.arange(3), labels + 1].mean()
        fixed = N * real(log_probs(i, x)).mean() + known + log_normal(d, i)
        each = [N * log_probs(i, made[:, s])[..., 0].mean() + fixed for s in range(S)]
        assert found == pytest.approx(marginal(np.array(each)), rel=1e-5)
