"""The generalised Gauss-Newton matrix of a network's log likelihood: whole, by layers, diagonal.

``sum_n J_n' H_n J_n``, with the Jacobian ``J_n [C, D]`` of a row's outputs and minus the Hessian
``H_n [C, C]`` of its log likelihood by them (Schraudolph 2002, "Fast curvature matrix-vector
products"; Daxberger et al. 2021, "Laplace Redux", equations 4 and 5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from .. import functional
from ..conditionals import cache_of
from ..errors import ModelError
from ..likelihoods.base import as_targets
from .net_jacobian import NetJacobian, Seen
from .normals import (
    DenseCurvature,
    DiagonalCurvature,
    Factors,
    KroneckerCurvature,
    LikelihoodCurvature,
)

MAX_DENSE = 8_000
BATCH_NUMBERS = 2**23  # of activations, their gradients and derivatives
MAX_ROWS = 4_096


class Fitted(NamedTuple):
    """What a pass over the data finds at some weights.

    Attributes:
        curvature: Of the log likelihood of all rows.
        log_likelihood: Of all rows, in nats.
        squares: Sum over rows and outputs of ``(y - mean)^2 / variance``, of a Gaussian one.
        targets: How many numbers the targets are.
    """

    curvature: LikelihoodCurvature
    log_likelihood: float
    squares: float
    targets: float


def fitted(
    structure: str,
    model: Any,
    jacobian: NetJacobian,
    params: Mapping[str, tf.Tensor],
    batch: tuple[Any, Any],
) -> Fitted:
    """Pass over the data once.

    Args:
        structure: ``full``, ``kronecker`` or ``diagonal``.
        model: What has likelihood, net and number of rows, as a BayesianNetwork. What is compiled
            for it stays with it.
        jacobian: Of its net.
        params: The weights, and the learned parameters: name -> value.
        batch: All rows: inputs and targets.

    Raises:
        ModelError: If the structure has no form for a weight, or too many numbers.
    """
    size = sum(jacobian.sizes.values())
    _check(structure, jacobian, size)
    x, y = batch
    step = _compiled(structure, model, jacobian)
    whole: list[Any] = []
    figures, targets = np.zeros(2), 0
    for rows in _row_slices(model, x, size if structure == "full" or jacobian.others else 0):
        taken = tf.nest.map_structure(lambda part, rows=rows: part[rows], (x, y))
        parts, sums, numbers = step(dict(params), *taken)
        parts = [_summed(structure, part.numpy()) for part in parts]
        whole = [a + b for a, b in zip(whole, parts, strict=True)] if whole else parts
        figures += sums.numpy()
        targets += int(numbers)
    n = int(y.shape[0])
    share = (model.num_data or n) / n
    curvature = _curvature(structure, whole, n, share)
    return Fitted(curvature, share * figures[0], share * figures[1], share * targets)


def _compiled(structure: str, model: Any, jacobian: NetJacobian) -> Any:
    """From weights and a batch to the parts of the curvature, the log likelihood and squares."""
    kept, key = cache_of(model), (structure, jacobian.names)
    if key in kept:
        return kept[key]
    likelihood, parts_of = model.likelihood, _PARTS[structure]

    def step(params: dict[str, tf.Tensor], x: Any, y: tf.Tensor) -> Any:
        own = model.likelihood_parameters(params)

        def factor_of(outputs: tf.Tensor) -> tf.Tensor:
            return output_factor(likelihood, outputs, y, own)

        outputs, parts = parts_of(jacobian, params, x, factor_of)
        log_lik = tf.cast(likelihood.log_prob(outputs, y, own), tf.float64)
        squares = tf.zeros((), tf.float64)
        if likelihood.name == "gaussian":
            mean = likelihood.mean(outputs, own)
            residual = (as_targets(y, mean) - mean) ** 2 / likelihood.variance(outputs, own)
            squares = tf.reduce_sum(tf.cast(residual, tf.float64))
        return parts, tf.stack([tf.reduce_sum(log_lik), squares]), tf.size(outputs)

    kept[key] = tf.function(step, autograph=False, reduce_retracing=True)
    return kept[key]


def output_factor(
    likelihood: Any, outputs: tf.Tensor, y: tf.Tensor, parameters: Mapping[str, Any]
) -> tf.Tensor:
    """``R [n, C, K]`` with ``R R'`` minus the Hessian of each row's log likelihood by its outputs.

    Where that has a negative eigenvalue, as of a likelihood that is not log-concave, it counts as
    zero, so that the whole is a precision.
    """
    n = tf.shape(outputs)[0]
    flat = tf.reshape(outputs, (n, -1))
    flat = tf.ensure_shape(flat, (None, math.prod(outputs.shape[1:])))
    if likelihood.name == "categorical" and outputs.shape.rank == 2:
        p = tf.nn.softmax(flat)  # diag(p) - p p' = R R', R = diag(sqrt p) - p sqrt(p)'
        root = tf.sqrt(p)
        return tf.linalg.diag(root) - p[:, :, tf.newaxis] * root[:, tf.newaxis]
    with tf.GradientTape() as outer:
        outer.watch(flat)
        with tf.GradientTape() as inner:
            inner.watch(flat)
            shaped = tf.reshape(flat, tf.shape(outputs))
            shaped = tf.ensure_shape(shaped, outputs.shape)
            log_lik = tf.reduce_sum(likelihood.log_prob(shaped, y, parameters))
        gradient = inner.gradient(log_lik, flat)
    H = -outer.batch_jacobian(gradient, flat)
    if H.shape[1] == 1:
        return tf.sqrt(tf.maximum(H, 0.0))
    values, vectors = tf.linalg.eigh(0.5 * (H + tf.linalg.matrix_transpose(H)))
    return vectors * tf.sqrt(tf.maximum(values, 0.0))[:, tf.newaxis]


def _full(jacobian: NetJacobian, params: Any, x: Any, factor_of: Any) -> Any:
    """All ``R_n' J_n``, one under the other."""
    outputs, J = jacobian.rows(params, x, factor_of)
    return outputs, [tf.reshape(J, (-1, J.shape[2]))]


def _diagonal(jacobian: NetJacobian, params: Any, x: Any, factor_of: Any) -> Any:
    if jacobian.others:
        outputs, J = jacobian.rows(params, x, factor_of)
        return outputs, [tf.reduce_sum(J**2, axis=(0, 1))]
    outputs, seen = jacobian.seen(params, x, factor_of)
    return outputs, [_squares(place) for place in seen]


def _kronecker(jacobian: NetJacobian, params: Any, x: Any, factor_of: Any) -> Any:
    outputs, seen = jacobian.seen(params, x, factor_of)
    return outputs, [factor for place in seen for factor in _factors(place)]


_PARTS = {"full": _full, "kronecker": _kronecker, "diagonal": _diagonal}


def _summed(structure: str, part: np.ndarray) -> np.ndarray:
    """What a batch adds to a part of the curvature."""
    whole = part.T @ part if structure == "full" else part  # NumPy computes one triangle alone
    return np.asarray(whole, np.float64)


def _curvature(
    structure: str, parts: list[np.ndarray], rows: int, share: float
) -> LikelihoodCurvature:
    if structure == "full":
        return DenseCurvature(share * 0.5 * (parts[0] + parts[0].T))
    if structure == "diagonal":
        return DiagonalCurvature(share * np.concatenate([part.ravel() for part in parts]))
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return KroneckerCurvature([Factors(A / rows, share * B) for A, B in pairs])


def _squares(place: Seen) -> tf.Tensor:
    """``sum over rows and directions of (sum_p a_p g_p')^2``: ``[in, out]``."""
    if place.inputs.shape[1] == 1:
        squares = tf.reduce_sum(place.gradients[:, :, 0] ** 2, axis=0)
        return tf.matmul(place.inputs[:, 0] ** 2, squares, transpose_a=True)
    J = tf.einsum("npi,knpo->nkio", place.inputs, place.gradients)
    return tf.reduce_sum(J**2, axis=(0, 1))


def _factors(place: Seen) -> tuple[tf.Tensor, tf.Tensor]:
    """Both factors of a layer, as sums over rows.

    Over positions too, of which the second is a mean (Grosse and Martens 2016, "A Kronecker-
    factored approximate Fisher matrix for convolution layers", equation 32 and theorem 1).
    """
    a = tf.reshape(place.inputs, (-1, place.inputs.shape[2]))
    g = tf.reshape(place.gradients, (-1, place.gradients.shape[3]))
    positions = tf.cast(tf.shape(place.inputs)[1], g.dtype)
    return tf.matmul(a, a, transpose_a=True), tf.matmul(g, g, transpose_a=True) / positions


def _check(structure: str, jacobian: NetJacobian, size: int) -> None:
    if structure == "full" and size > MAX_DENSE:
        gigabytes = 3 * 8.0 * size**2 / 2**30
        raise ModelError(
            f"The full curvature of {size:,} weights would take about {gigabytes:,.1f} GiB and is "
            f"refused above {MAX_DENSE:,}. Use curvature='kronecker' or 'diagonal', or "
            "layers='last'."
        )
    if structure == "kronecker" and jacobian.others:
        raise ModelError(
            "curvature='kronecker' has a form for keras.layers.Dense, Conv1D and Conv2D, outside "
            "of wrappers. Use curvature='diagonal' or 'full', or leave these weights out by "
            f"sites=. Received: {', '.join(jacobian.others)}."
        )


def _row_slices(model: Any, x: Any, size: int) -> Iterator[slice]:
    n = int(tf.nest.flatten(x)[0].shape[0])
    step = even(n, batch_rows(model, size))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def batch_rows(model: Any, size: int) -> int:
    """Rows of a batch whose activations and derivatives by ``size`` numbers fit in memory."""
    shape = model.net.output_shape if hasattr(model.net, "output_shape") else (None, 1)
    outputs = math.prod(n or 1 for n in shape[1:])
    each = (2 + outputs) * functional.activation_size(model.net) + outputs * size
    return int(np.clip(BATCH_NUMBERS // each, 1, MAX_ROWS))


def even(n: int, most: int) -> int:
    """Rows of a batch when ``n`` are parted into as few as possible, of about one size."""
    return math.ceil(n / math.ceil(n / most))
