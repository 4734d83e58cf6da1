"""One step of each stochastic-gradient sampler, as a pure function on nests of tensors.

``params``, ``gradient`` and ``noise`` are nests of one structure (a dict by site, a list of a
net's weights); leading axes, such as one of chains, make no difference. ``gradient`` is an unbiased
estimate of the gradient of the full log joint, not of its mean over the data. ``noise`` is standard
normal. At ``temperature`` T the target is ``p(params | data) ** (1 / T)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from ... import random

Nest = Any
Scalar = Any


def noise_like(params: Nest, key: tf.Tensor, step: Any) -> Nest:
    """Standard normal numbers for each tensor, a function of (key, its name, step) alone.

    Args:
        params: A dict of tensors, named by its keys, or a list or tuple, named by position.
        key: ``[2]``; or ``[chain, 2]``, where each tensor has a leading axis of chains.
        step: A whole number or a scalar integer tensor.
    """
    leading = key.shape.rank - 1
    now = random.fold_in(key, step)

    def draw(name: Any, value: tf.Tensor) -> tf.Tensor:
        return random.normal(value.shape[leading:], random.fold_in(now, str(name)), value.dtype)

    if isinstance(params, Mapping):
        return {name: draw(name, value) for name, value in params.items()}
    return type(params)(draw(i, value) for i, value in enumerate(params))


def sgld(
    params: Nest, gradient: Nest, noise: Nest, step_size: Scalar, temperature: Scalar = 1.0
) -> Nest:
    """Stochastic gradient Langevin dynamics: ``theta += eps / 2 * grad + N(0, eps T)``.

    References:
        Welling & Teh 2011, "Bayesian Learning via Stochastic Gradient Langevin Dynamics", eq. 4.
    """

    def move(theta: tf.Tensor, g: tf.Tensor, xi: tf.Tensor) -> tf.Tensor:
        eps, heat = _like(theta, step_size, temperature)
        return theta + 0.5 * eps * g + tf.sqrt(eps * heat) * xi

    return tf.nest.map_structure(move, params, gradient, noise)


def sghmc(
    params: Nest,
    velocity: Nest,
    gradient: Nest,
    noise: Nest,
    step_size: Scalar,
    friction: Scalar,
    *,
    noise_estimate: Scalar = 0.0,
    temperature: Scalar = 1.0,
) -> tuple[Nest, Nest]:
    """Stochastic gradient Hamiltonian Monte Carlo.

    ``v = (1 - a) v + eta * grad + N(0, 2 (a - b) eta T)``, then ``theta += v``. At rest the
    velocity has the variance ``eta T``.

    Args:
        params, velocity, gradient, noise: Nests of one structure.
        step_size: eta.
        friction: a, above 0 and at most 1.
        noise_estimate: b, the share of the noise that the gradient's own makes up; below a.
        temperature: T.

    Returns:
        The new params and the new velocity.

    References:
        Chen, Fox & Guestrin 2014, "Stochastic Gradient Hamiltonian Monte Carlo", eq. 15.
    """

    def push(v: tf.Tensor, g: tf.Tensor, xi: tf.Tensor) -> tf.Tensor:
        eta, a, b, heat = _like(v, step_size, friction, noise_estimate, temperature)
        return (1.0 - a) * v + eta * g + tf.sqrt(2.0 * (a - b) * eta * heat) * xi

    velocity = tf.nest.map_structure(push, velocity, gradient, noise)
    return tf.nest.map_structure(tf.add, params, velocity), velocity


def psgld(
    params: Nest,
    second_moment: Nest,
    gradient: Nest,
    noise: Nest,
    step_size: Scalar,
    *,
    decay: Scalar = 0.99,
    damping: Scalar = 1e-5,
    num_data: Scalar = 1.0,
    temperature: Scalar = 1.0,
    correction: Nest | None = None,
) -> tuple[Nest, Nest]:
    """Langevin dynamics preconditioned by a running second moment of the gradient (RMSprop).

    With ``g = grad / num_data``: ``V = decay V + (1 - decay) g^2``, ``G = 1 / (damping + sqrt(V))``
    and ``theta += eps / 2 * (G grad + T Gamma) + N(0, eps T G)``. The paper's g leaves the prior's
    share out; here it is the gradient of the whole log joint per datum.

    Args:
        params, second_moment, gradient, noise: Nests of one structure.
        step_size: eps.
        decay, damping: In the paper alpha and lambda.
        num_data: N.
        temperature: T.
        correction: Gamma, of ``psgld_correction``; without it the bias is of the order of
            ``1 - decay`` in an ergodic average.

    Returns:
        The new params and the new second moment.

    References:
        Li, Chen, Carlson & Carin 2016, "Preconditioned Stochastic Gradient Langevin Dynamics for
        Deep Neural Networks", eq. 4, 5 and 8.
    """
    second_moment = tf.nest.map_structure(
        lambda v, g: _moment(v, g, decay, num_data), second_moment, gradient
    )
    if correction is None:
        correction = tf.nest.map_structure(tf.zeros_like, params)

    def move(*leaves: tf.Tensor) -> tf.Tensor:
        theta, v, g, xi, gamma = leaves
        eps, heat = _like(theta, step_size, temperature)
        scale = _preconditioner(v, damping)
        return theta + 0.5 * eps * (scale * g + heat * gamma) + tf.sqrt(eps * heat * scale) * xi

    params = tf.nest.map_structure(move, params, second_moment, gradient, noise, correction)
    return params, second_moment


def psgld_correction(
    second_moment: Nest,
    gradient: Nest,
    curvature: Nest,
    *,
    decay: Scalar = 0.99,
    damping: Scalar = 1e-5,
    num_data: Scalar = 1.0,
) -> Nest:
    """``Gamma = dG / d theta``, the drift that a preconditioner which depends on theta asks for.

    ``Gamma = -(1 - decay) G^2 g h / sqrt(V)`` with V after this step's update, ``g`` and ``h`` the
    gradient and the diagonal of its Jacobian (or an unbiased estimate), both per datum.

    Args:
        second_moment: V before this step.
        gradient, curvature: Of the full log joint.
        decay, damping, num_data: As in ``psgld``.

    References:
        Li et al. 2016, eq. 6: the derivative of V's newest term; older ones are held fixed.
    """

    def of_leaf(v: tf.Tensor, g: tf.Tensor, h: tf.Tensor) -> tf.Tensor:
        alpha, count = _like(g, decay, num_data)
        v = _moment(v, g, decay, num_data)
        scale = _preconditioner(v, damping)
        slope = (g / count) * (h / count)
        return -(1.0 - alpha) * scale**2 * tf.math.divide_no_nan(slope, tf.sqrt(v))

    return tf.nest.map_structure(of_leaf, second_moment, gradient, curvature)


def adam(
    params: Nest,
    first: Nest,
    second: Nest,
    gradient: Nest,
    step: Any,
    learning_rate: Scalar,
    *,
    first_decay: float = 0.9,
) -> tuple[Nest, Nest, Nest]:
    """Climb the log joint by one step of Adam, for a start near the mode.

    Args:
        params, first, second, gradient: Nests of one structure; the moments begin at zero.
        step: Steps made before this one.
        learning_rate: Of the order of the change of each number in a step.
        first_decay: In the paper beta_1, from 0 to below 1.

    Returns:
        The new params and moments.

    References:
        Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1.
    """
    first = tf.nest.map_structure(
        lambda m, g: first_decay * m + (1.0 - first_decay) * g, first, gradient
    )
    second = tf.nest.map_structure(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)

    def move(theta: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
        count, rate = _like(theta, tf.cast(step, theta.dtype) + 1.0, learning_rate)
        m_hat = m / (1.0 - tf.constant(first_decay, theta.dtype) ** count)
        v_hat = v / (1.0 - tf.constant(0.999, theta.dtype) ** count)
        return theta + rate * m_hat / (tf.sqrt(v_hat) + 1e-8)

    return tf.nest.map_structure(move, params, first, second), first, second


def _moment(v: tf.Tensor, g: tf.Tensor, decay: Scalar, num_data: Scalar) -> tf.Tensor:
    alpha, count = _like(g, decay, num_data)
    return alpha * v + (1.0 - alpha) * (g / count) ** 2


def _preconditioner(v: tf.Tensor, damping: Scalar) -> tf.Tensor:
    return 1.0 / (_like(v, damping)[0] + tf.sqrt(v))


def _like(tensor: tf.Tensor, *numbers: Scalar) -> tuple[tf.Tensor, ...]:
    """Numbers, or tensors of another precision, in the dtype of ``tensor``."""
    return tuple(
        tf.cast(number, tensor.dtype)
        if tf.is_tensor(number)
        else tf.constant(number, tensor.dtype)  # tf.cast would round it to float32 first
        for number in numbers
    )
