"""LogDensity: any log density written in TensorFlow, and joint distributions with data pinned."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from . import random
from .errors import DataError, ModelError, did_you_mean
from .protocols import Params, Site
from .specs import Capability

tfb = tfp.bijectors
tfd = tfp.distributions

INITIAL_SCALE = 0.1
"""Standard deviation of a start in the unconstrained space."""


class LogDensity:
    """An unnormalised log density with named parts, for any engine that needs a log joint.

    ``fn`` takes one state and is vectorised over draws and chains by the engines; or many states
    at once, if ``vectorized``. It is a density of the constrained values: the engines add the
    logarithm of each bijector's Jacobian.

    Args:
        fn: From one tensor for each site, by keyword, to a scalar tensor in nats.
        shapes: Site name -> shape of the constrained value.
        bijectors: Site name -> tfp bijector from the unconstrained to the constrained space; a
            site without one ranges over all real numbers.
        dtype: Of all sites, or site name -> dtype.
        initial: Site name -> constrained value to begin with; the others begin near zero in the
            unconstrained space.
        vectorized: Whether ``fn`` takes tensors with a leading axis of states, ``[n, ...]``, and
            gives ``[n]``. Markov chains then call it as it is, which can be twice as fast where a
            matrix meets one vector per chain: write ``w @ x.T`` for all chains at once.

    Raises:
        ModelError: If names do not agree, a start lies outside its site's range, or ``fn`` takes
            other arguments or does not give a scalar (or one number for each state).

    Example:
        ```python
        def fn(mu, tau):
            return tfd.Normal(0.0, tau).log_prob(mu) + tfd.Gamma(2.0, 1.0).log_prob(tau)

        target = tfbdl.LogDensity(fn, shapes={"mu": (), "tau": ()}, bijectors={"tau": tfb.Exp()})
        fit = tfbdl.fit(target, None, engine="variational", seed=1)
        ```
    """

    capabilities = frozenset({Capability.LOG_JOINT})
    default_engine = "nuts"
    takes_no_data = True

    def __init__(
        self,
        fn: Callable[..., tf.Tensor],
        shapes: Mapping[str, Any],
        bijectors: Mapping[str, Any] | None = None,
        dtype: str | Mapping[str, str] = "float32",
        *,
        initial: Mapping[str, Any] | None = None,
        vectorized: bool = False,
    ) -> None:
        if not shapes:
            raise ModelError("A LogDensity needs at least one site. Received: shapes={}.")
        bijectors, initial = dict(bijectors or {}), dict(initial or {})
        for what, given in (("bijectors", bijectors), ("initial", initial)):
            for name in given:
                if name not in shapes:
                    raise ModelError(
                        f"{what} names {name!r}, which is no site.{did_you_mean(name, shapes)} "
                        f"Known: {', '.join(shapes)}."
                    )
        self.fn, self.vectorized = fn, vectorized
        self._sites = tuple(
            Site(
                name,
                _shape(name, shape),
                bijectors.get(name),
                tf.as_dtype(dtype[name] if isinstance(dtype, Mapping) else dtype).name,
            )
            for name, shape in shapes.items()
        )
        self.initial = {
            site.name: _start(site, initial[site.name])
            for site in self._sites
            if site.name in initial
        }
        self._check()

    def __repr__(self) -> str:
        listed = ", ".join(f"{site.name}: {list(site.shape)}" for site in self._sites)
        return f"LogDensity({listed})"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The parts, in the order of ``shapes``."""
        return self._sites

    def init(self, seed: int) -> Params:
        """A starting state: as given, else normal with a small scale in the unconstrained space."""
        key = random.key(seed, "init")
        state: dict[str, tf.Tensor] = {}
        for site in self._sites:
            if site.name in self.initial:
                state[site.name] = tf.constant(self.initial[site.name], site.dtype)
                continue
            shape = unconstrained_shape(site)
            noise = random.normal(shape, random.fold_in(key, site.name), site.dtype)
            noise *= tf.cast(INITIAL_SCALE, noise.dtype)
            state[site.name] = noise if site.bijector is None else site.bijector.forward(noise)
        return state

    def log_joint(self, params: Params, batch: Any = None) -> tf.Tensor:
        """The log density of one state in nats, without Jacobians; there is no ``batch``."""
        if self.vectorized:
            return self.log_joints({name: value[tf.newaxis] for name, value in params.items()})[0]
        return tf.convert_to_tensor(self.fn(**params))

    def log_joints(self, params: Params, batch: Any = None) -> tf.Tensor:
        """The log density of states ``[n, ...]``, of a ``vectorized`` density alone: ``[n]``."""
        return tf.convert_to_tensor(self.fn(**params))

    def _check(self) -> None:
        names = [site.name for site in self._sites]
        try:
            inspect.signature(self.fn).bind(**dict.fromkeys(names))
        except TypeError as error:
            raise ModelError(
                f"The log density must take its sites {', '.join(names)} as keywords: {error}."
            ) from None
        except ValueError:  # a built-in without a signature
            pass
        if self.vectorized:
            self._check_vectorized()
            return
        value = self.log_joint(self.init(0))
        if value.shape.rank != 0 or not value.dtype.is_floating:
            raise ModelError(
                "The log density of one state must be a scalar: sum over data and elements. "
                f"Received: shape {tuple(value.shape)}, dtype {value.dtype.name}."
            )

    def _check_vectorized(self) -> None:
        """Raise unless three states, alone and together, have the same three densities."""
        states = [self.init(seed) for seed in range(3)]
        together = {name: tf.stack([state[name] for state in states]) for name in states[0]}
        values = self.log_joints(together)
        if values.shape != (3,) or not values.dtype.is_floating:
            raise ModelError(
                "A vectorized log density must give one number for each state, [n] for sites "
                f"[n, ...]. Received for 3 states: shape {tuple(values.shape)}, dtype "
                f"{values.dtype.name}."
            )
        alone = tf.stack([self.log_joint(state) for state in states])
        if not np.allclose(values, alone, rtol=1e-3, atol=1e-3, equal_nan=True):
            raise ModelError(
                "A vectorized log density must treat its states apart. Received for 3 states "
                f"together {values.numpy()}, and for each alone {alone.numpy()}. Does it sum or "
                "broadcast over the leading axis?"
            )


def unconstrained_shape(site: Site) -> tuple[int, ...]:
    """The shape of a site's value in the unconstrained space."""
    if site.bijector is None:
        return site.shape
    return tuple(site.bijector.inverse_event_shape(tf.TensorShape(site.shape)))


def is_joint_distribution(model: object) -> bool:
    """Whether ``model`` is a ``tfd.JointDistribution`` of any kind."""
    return isinstance(model, tfd.JointDistribution)


class ConditionedJoint(LogDensity):
    """The density of a joint distribution's free parts, which can also be drawn from their prior.

    Args:
        joint: A ``tfd.JointDistribution``.
        pins: Part name -> observed value.
        shapes, bijectors, dtype: As in LogDensity, of the free parts.
    """

    def __init__(
        self,
        joint: Any,
        pins: Mapping[str, tf.Tensor],
        shapes: Mapping[str, Any],
        bijectors: Mapping[str, Any],
        dtype: Mapping[str, str],
    ) -> None:
        self.joint, self.pins = joint, dict(pins)
        pinned = joint.experimental_pin(**pins) if pins else None
        fn = joint.log_prob if pinned is None else pinned.unnormalized_log_prob
        super().__init__(fn, shapes, bijectors, dtype)

    def sample_prior(self, seed: Any) -> Params:
        """A state drawn from the prior: each free part given those before it.

        Observed parts keep their values and are not drawn; a free part that comes after one, such
        as a missing observation, is drawn given its value.
        """
        names = list(self.joint._flat_resolve_names())
        key = tf.bitcast(random.key(seed, "prior"), tf.int32)
        _, values = _parts(self.joint, names, self.pins, key)
        return {site.name: values[site.name] for site in self.sites}

    def log_prior(self, params: Params) -> tf.Tensor:
        """The log density of a state under ``sample_prior``: of each free part given the others.

        A scalar, in nats, without Jacobians.
        """
        parts = self.joint.log_prob_parts({**params, **self.pins})
        names = self.joint._flat_resolve_names()
        by_name = dict(zip(names, self.joint._model_flatten(parts), strict=True))
        return tf.add_n([by_name[site.name] for site in self.sites])


def condition(joint: Any, data: Mapping[str, Any] | None) -> ConditionedJoint:
    """A joint distribution with its observed parts pinned, as a density of the others.

    Args:
        joint: A ``tfd.JointDistribution``; one state has a scalar log density, so parts over
            several data are ``tfd.Sample``, ``tfd.Independent`` or of an ``AutoBatched`` joint.
        data: Part name -> observed value; the other parts are the sites.

    Raises:
        DataError: If a name is no part, a value has another shape than its part, or all parts
            are observed.
        ModelError: If a part that is not observed is discrete, or its range depends on others.
    """
    names = list(joint._flat_resolve_names())
    pins = _pins(joint, names, data)
    free = [name for name in names if name not in pins]
    if not free:
        raise DataError(f"All parts of the joint distribution are observed: {', '.join(names)}.")
    parts, values = _parts(joint, names, pins, seed=[0, 1])
    others, _ = _parts(joint, names, pins, seed=[0, 2])
    bijectors = {}
    for name in free:
        if not values[name].dtype.is_floating:
            raise ModelError(
                f"The part {name!r} is discrete ({values[name].dtype.name}), so its density has no "
                "gradient. Observe it in data=, or sum over it (tfd.Mixture, tfd.MixtureSameFamily)"
                "."
            )
        bijector = _support(name, parts[name])
        _check_fixed(name, bijector, _support(name, others[name]), values[name])
        bijectors[name] = None if isinstance(bijector, tfb.Identity) else bijector
    return ConditionedJoint(
        joint,
        pins,
        shapes={name: tuple(values[name].shape) for name in free},
        bijectors={name: b for name, b in bijectors.items() if b is not None},
        dtype={name: values[name].dtype.name for name in free},
    )


def _pins(joint: Any, names: list[str], data: Mapping[str, Any] | None) -> dict[str, tf.Tensor]:
    if data is not None and not isinstance(data, Mapping):
        raise DataError(
            "A joint distribution takes its observed parts by name, as a mapping such as "
            f"{{{names[-1]!r}: values}}. Received: {type(data).__name__}."
        )
    for name in data or {}:
        if name not in names:
            raise DataError(
                f"The joint distribution has no part {name!r}.{did_you_mean(name, names)} "
                f"Known: {', '.join(names)}."
            )
    _, values = _parts(joint, names, {}, seed=[0, 0])
    pins = {}
    for name, given in (data or {}).items():
        pins[name] = tf.convert_to_tensor(np.asarray(given), values[name].dtype)
        if pins[name].shape != values[name].shape:
            raise DataError(
                f"The observed part {name!r} must have the shape {tuple(values[name].shape)} of "
                f"the joint distribution. Received: {tuple(pins[name].shape)}."
            )
        if pins[name].dtype.is_floating and not np.isfinite(pins[name]).all():
            raise DataError(f"The observed part {name!r} has values that are NaN or infinite.")
    return pins


def _parts(
    joint: Any, names: list[str], pins: Mapping[str, tf.Tensor], seed: Any
) -> tuple[dict[str, Any], dict[str, tf.Tensor]]:
    """Each part's distribution and value, in one draw given the pins."""
    distributions, values = joint.sample_distributions(seed=seed, **pins)
    flat = [joint._model_flatten(found) for found in (distributions, values)]
    return dict(zip(names, flat[0], strict=True)), dict(zip(names, flat[1], strict=True))


def _support(name: str, distribution: Any) -> Any:
    """The bijector onto the range of a part."""
    if isinstance(distribution, tfd.Dirichlet):  # TFP's own choice fails with NumPy 2.4
        return tfb.IteratedSigmoidCentered()
    return distribution.experimental_default_event_space_bijector()


def _check_fixed(name: str, bijector: Any, other: Any, value: tf.Tensor) -> None:
    """Raise unless a part's range is the same whatever the other parts are."""
    shape = bijector.inverse_event_shape(value.shape)
    probe = tf.fill(shape, tf.constant(0.3, value.dtype))
    if not np.array_equal(bijector.forward(probe), other.forward(tf.identity(probe))):
        raise ModelError(
            f"The range of the part {name!r} depends on other parts. Write it as a part of fixed "
            "range that is scaled and shifted, for example a Uniform(0, 1) times the bound."
        )


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    try:
        sizes = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(map(int, shape))
    except (TypeError, ValueError):
        sizes = (-1,)
    if any(size < 1 for size in sizes):
        raise ModelError(
            f"The shape of the site {name!r} must be whole numbers of at least 1. "
            f"Received: {shape!r}."
        )
    return sizes


def _start(site: Site, value: Any) -> np.ndarray:
    """A start, checked to lie within the range of its site."""
    array = np.broadcast_to(np.asarray(value, site.dtype), site.shape)
    inside = tf.constant(array)
    if site.bijector is not None:
        inside = site.bijector.forward(tf.identity(site.bijector.inverse(inside)))
    if not np.allclose(inside, array, rtol=1e-3, atol=1e-6):
        raise ModelError(
            f"The start of the site {site.name!r} lies outside its range. Received: {value!r}."
        )
    return array
