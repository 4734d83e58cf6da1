"""Quality and diversity of largest likelihood, given observed subsets.

In quality alone the log likelihood of a DPP is concave (Kulesza & Taskar 2012, proposition 4.1); in
relevances it is not, so the search starts at the length scale of the options, and bounds keep it
where the kernel can be told from a constant and from the identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from scipy import optimize

from .likelihood import largest_of, log_likelihood

REACH = 4.0  # of log relevance about its start: factors of e^4
STEEP = 15.0  # of quality and intercept: odds of e^15


@dataclass(frozen=True)
class Learned:
    """What a search found.

    Attributes:
        params: ``quality``, ``relevance`` and, of a DPP, ``intercept``.
        log_likelihood: Of all subsets, in nats.
        notice: What a user should know of the search; empty if nothing.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("quality", "relevance", "intercept")

    params: dict[str, np.ndarray]
    log_likelihood: float
    notice: str


def largest_likelihood(
    x: np.ndarray, masks: np.ndarray, kernel: str, k: int | None, log_relevance: float
) -> Learned:
    """Search by L-BFGS.

    Args:
        x: Standardised items, ``[n, d]``.
        masks: Observed subsets, zeros and ones ``[m, n]``.
        kernel: ``rbf`` or ``linear``.
        k: Of a k-DPP; None: the size varies.
        log_relevance: Where relevances start.
    """
    d, free = x.shape[1], int(k is None)
    rows, chosen, largest = tf.constant(x), tf.constant(masks), largest_of(masks.T)

    @tf.function(autograph=False)
    def value_and_gradient(flat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(flat)
            value = log_likelihood(_named(flat, d, k), rows, chosen, kernel, k, largest)
        return value, tape.gradient(value, flat)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(tf.constant(flat))
        return -float(value), -gradient.numpy()

    start = np.concatenate([np.zeros(d), np.full(d, log_relevance), np.zeros(free)])
    width = np.concatenate([np.full(d, STEEP), np.full(d, REACH), np.full(free, STEEP)])
    bounds = list(zip(start - width, start + width, strict=True))
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    at_bound = np.abs(found.x - start) >= width * (1.0 - 1e-9)
    notice = ""
    if at_bound.any():
        labels = [f"quality[{i}]" for i in range(d)] + [f"relevance[{i}]" for i in range(d)]
        named = ", ".join(np.array([*labels, "intercept"])[: len(found.x)][at_bound])
        notice = (
            f"The likelihood grows up to the bounds of the search in {named}: these subsets do "
            "not determine it. Engine 'nuts' gives a posterior, whose prior does."
        )
    params = {name: value.numpy() for name, value in _named(tf.constant(found.x), d, k).items()}
    return Learned(params, -float(found.fun), notice)


def _named(flat: tf.Tensor, d: int, k: int | None) -> dict[str, Any]:
    """Quality, relevance and intercept from one vector."""
    found = {"quality": flat[:d], "relevance": tf.exp(flat[d : 2 * d])}
    return found | ({"intercept": flat[2 * d]} if k is None else {})
