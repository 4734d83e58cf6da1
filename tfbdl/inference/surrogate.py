"""Gaussian posteriors over the unconstrained parameters of a model, as Keras layers.

Each family has locations (which may be the very variables of a net), draws by
reparameterisation, and knows its entropy, marginal standard deviations and covariance.

References:
    Blundell et al. 2015, section 3.2 (mean field); Ong, Nott & Smith 2018 (low rank);
    Kucukelbir et al. 2017 (full rank).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from .. import random
from ..errors import ModelError, OptionsError, UnknownNameError, did_you_mean
from ..sums import event_sum

LOG_2PI_E = 1.0 + math.log(2.0 * math.pi)
MAX_FULL_RANK = 2_000
INITIAL_RAW_SCALE = -5.0

Tensors = dict[str, tf.Tensor]


class Surrogate(keras.layers.Layer):
    """Base of the families: what a model needs of its approximate posterior.

    Args:
        locs: Site name -> the variable that holds the site's location. They belong to the model,
            which trains and stores them.
    """

    family: ClassVar[str]

    def __init__(self, locs: Mapping[str, keras.Variable], **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        if not locs:
            raise ModelError("A posterior needs at least one random site; the model has none.")
        self.locs = MappingProxyType(dict(locs))  # a mapping that Keras does not track
        self.built = True

    @property
    def site_names(self) -> tuple[str, ...]:
        """The sites, in the order of the flattened families."""
        return tuple(self.locs)

    @property
    def num_parameters(self) -> int:
        """How many numbers the sites hold."""
        return sum(math.prod(variable.shape) for variable in self.locs.values())

    def mean(self) -> Tensors:
        """Site name -> mean of q."""
        return {name: read(variable) for name, variable in self.locs.items()}

    def stddev(self) -> Tensors:
        """Site name -> marginal standard deviation of q."""
        raise NotImplementedError

    def sample(self, keys: tf.Tensor) -> Tensors:
        """Draw from q: one state for ``keys [2]``, ``[S, ...]`` for ``keys [S, 2]``."""
        raise NotImplementedError

    def entropy(self) -> tf.Tensor:
        """H(q) in nats; zero for a point mass, whose objective is then the log joint."""
        raise NotImplementedError

    def site_entropies(self) -> Tensors | None:
        """Site name -> its share of H(q); None where the sites are not independent under q."""
        return None

    def covariance(self) -> tf.Tensor:
        """``[P, P]`` over all sites, flattened and joined in their order."""
        raise NotImplementedError

    def add(
        self, name: str, shape: tuple[int, ...], value: Any, dtype: Any, *, trainable: bool = True
    ) -> keras.Variable:
        """Add a weight that mixed precision leaves alone."""
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            trainable=trainable,
            autocast=False,
            initializer=keras.initializers.Constant(value)
            if np.ndim(value) == 0
            else lambda shape, dtype=None: tf.constant(value, dtype),
        )

    def site_keys(self, keys: tf.Tensor) -> Tensors:
        """One independent stream of numbers a site."""
        return {name: random.fold_in(keys, name) for name in self.locs}

    def split(self, flat: tf.Tensor) -> Tensors:
        """From ``[..., P]`` back to sites."""
        sizes = [math.prod(variable.shape) for variable in self.locs.values()]
        parts = tf.split(flat, sizes, axis=-1)
        leading = flat.shape[:-1]
        return {
            name: tf.cast(tf.reshape(part, (*leading, *variable.shape)), variable.dtype)
            for (name, variable), part in zip(self.locs.items(), parts, strict=True)
        }

    def flat_loc(self, dtype: Any) -> tf.Tensor:
        """All locations, flattened and joined: ``[P]``."""
        return tf.concat(
            [tf.cast(tf.reshape(v, [-1]), dtype) for v in self.mean().values()], axis=0
        )

    def flat_dtype(self) -> str:
        """The dtype of the joined vector: float64 if any site is."""
        return max(
            (keras.backend.standardize_dtype(v.dtype) for v in self.locs.values()),
            key=lambda dtype: (dtype == "float64", dtype == "float32"),
        )


class MeanField(Surrogate):
    """Independent normals: ``w = mu + softplus(rho) * eps`` (Blundell et al. 2015, section 3.2).

    Args:
        locs: As in Surrogate.
        initial_raw_scale: The start of rho; softplus(-5) is 0.0067.
        masked: Whether weights can be pruned: each site then has a mask, and what is masked is
            exactly zero, without uncertainty and without a part in the KL.
    """

    family = "mean_field"

    def __init__(
        self,
        locs: Mapping[str, keras.Variable],
        *,
        initial_raw_scale: float = INITIAL_RAW_SCALE,
        masked: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(locs, **kwargs)
        self.raw_scales = {
            name: self.add(f"{name}.raw_scale", variable.shape, initial_raw_scale, variable.dtype)
            for name, variable in locs.items()
        }
        self.masks = {
            name: self.add(f"{name}.mask", variable.shape, 1.0, variable.dtype, trainable=False)
            for name, variable in (locs.items() if masked else ())
        }

    def mean(self) -> Tensors:
        return self._masked(super().mean())

    def stddev(self) -> Tensors:
        return self._masked({n: tf.nn.softplus(read(rho)) for n, rho in self.raw_scales.items()})

    def sample(self, keys: tf.Tensor) -> Tensors:
        draws = {}
        for name, key in self.site_keys(keys).items():
            mu, rho = read(self.locs[name]), read(self.raw_scales[name])
            eps = random.normal(mu.shape, key, mu.dtype)
            draws[name] = mu + tf.nn.softplus(rho) * eps
        return self._masked(draws)

    def entropy(self) -> tf.Tensor:
        total = tf.zeros((), self.flat_dtype())
        for share in self.site_entropies().values():
            total += tf.cast(share, total.dtype)
        return total

    def site_entropies(self) -> Tensors:
        entropies = {}
        for name, rho in self.raw_scales.items():
            terms = tf.math.log(tf.nn.softplus(read(rho))) + 0.5 * LOG_2PI_E
            if self.masks:
                terms *= read(self.masks[name])
            entropies[name] = event_sum(terms)
        return entropies

    def covariance(self) -> tf.Tensor:
        dtype = self.flat_dtype()
        flat = tf.concat([tf.cast(tf.reshape(s, [-1]), dtype) for s in self.stddev().values()], 0)
        return tf.linalg.diag(flat**2)

    def _masked(self, values: Tensors) -> Tensors:
        if not self.masks:
            return values
        return {name: value * read(self.masks[name]) for name, value in values.items()}


class LowRank(Surrogate):
    """A normal with covariance ``diag(sigma^2) + U U'``, U of ``rank`` columns, over all sites.

    References:
        Ong, Nott & Smith 2018, section 3 (factor covariance).
    """

    family = "low_rank"

    def __init__(
        self,
        locs: Mapping[str, keras.Variable],
        *,
        rank: int = 10,
        initial_raw_scale: float = INITIAL_RAW_SCALE,
        **kwargs: Any,
    ) -> None:
        super().__init__(locs, **kwargs)
        size, dtype = self.num_parameters, self.flat_dtype()
        self.rank = min(rank, size)
        start = np.asarray(random.normal((size, self.rank), random.key(0, "low_rank"), dtype))
        width = math.log1p(math.exp(initial_raw_scale)) / math.sqrt(self.rank)
        self.raw_scale = self.add("raw_scale", (size,), initial_raw_scale, dtype)
        self.factor = self.add("factor", (size, self.rank), start * width, dtype)

    def stddev(self) -> Tensors:
        sigma, U = tf.nn.softplus(read(self.raw_scale)), read(self.factor)
        return self.split(tf.sqrt(sigma**2 + tf.reduce_sum(U**2, axis=-1)))

    def sample(self, keys: tf.Tensor) -> Tensors:
        sigma, U = tf.nn.softplus(read(self.raw_scale)), read(self.factor)
        own = random.normal(sigma.shape, random.fold_in(keys, "own"), sigma.dtype)
        shared = random.normal((self.rank,), random.fold_in(keys, "shared"), sigma.dtype)
        return self.split(self.flat_loc(sigma.dtype) + sigma * own + tf.linalg.matvec(U, shared))

    def entropy(self) -> tf.Tensor:
        sigma, U = tf.nn.softplus(read(self.raw_scale)), read(self.factor)
        scaled = U / sigma[:, tf.newaxis]  # |D + U U'| = |D| |I + U' D^-1 U|
        inner = tf.eye(self.rank, dtype=U.dtype) + tf.matmul(scaled, scaled, transpose_a=True)
        log_det = 2.0 * tf.reduce_sum(tf.math.log(sigma)) + tf.linalg.logdet(inner)
        return 0.5 * (self.num_parameters * LOG_2PI_E + log_det)

    def covariance(self) -> tf.Tensor:
        sigma, U = tf.nn.softplus(read(self.raw_scale)), read(self.factor)
        return tf.linalg.diag(sigma**2) + tf.matmul(U, U, transpose_b=True)


class FullRank(Surrogate):
    """A normal with any covariance ``L L'`` over all sites together.

    Raises:
        ModelError: Above 2,000 parameters, with the memory it would take.
    """

    family = "full_rank"

    def __init__(
        self,
        locs: Mapping[str, keras.Variable],
        *,
        initial_raw_scale: float = INITIAL_RAW_SCALE,
        **kwargs: Any,
    ) -> None:
        super().__init__(locs, **kwargs)
        size, dtype = self.num_parameters, self.flat_dtype()
        if size > MAX_FULL_RANK:
            gigabytes = 4 * 8.0 * size**2 / 2**30  # the factor, its gradient, Adam's two moments
            raise ModelError(
                f"posterior='full_rank' over {size:,} parameters would take about "
                f"{gigabytes:,.1f} GiB and is refused above {MAX_FULL_RANK:,}. Use 'low_rank' or "
                "'mean_field', or make fewer variables random with sites=."
            )
        self.raw_scale = self.add("raw_scale", (size,), initial_raw_scale, dtype)
        self.lower = self.add("lower", (size, size), 0.0, dtype)

    def stddev(self) -> Tensors:
        return self.split(tf.sqrt(tf.reduce_sum(self.scale_tril() ** 2, axis=-1)))

    def sample(self, keys: tf.Tensor) -> Tensors:
        L = self.scale_tril()
        eps = random.normal((L.shape[0],), keys, L.dtype)
        return self.split(self.flat_loc(L.dtype) + tf.linalg.matvec(L, eps))

    def entropy(self) -> tf.Tensor:
        scale = tf.nn.softplus(read(self.raw_scale))
        return 0.5 * self.num_parameters * LOG_2PI_E + tf.reduce_sum(tf.math.log(scale))

    def covariance(self) -> tf.Tensor:
        L = self.scale_tril()
        return tf.matmul(L, L, transpose_b=True)

    def scale_tril(self) -> tf.Tensor:
        """The Cholesky factor L: ``[P, P]``."""
        strict = tf.linalg.band_part(read(self.lower), -1, 0)
        return tf.linalg.set_diag(strict, tf.nn.softplus(read(self.raw_scale)))


class Delta(Surrogate):
    """A point mass at the locations: the objective is then the log joint, its optimum the mode."""

    family = "delta"

    def stddev(self) -> Tensors:
        return {name: tf.zeros_like(value) for name, value in self.mean().items()}

    def sample(self, keys: tf.Tensor) -> Tensors:
        leading = tf.unstack(tf.shape(keys))[:-1]
        return {n: tf.broadcast_to(v, (*leading, *v.shape)) for n, v in self.mean().items()}

    def entropy(self) -> tf.Tensor:
        return tf.zeros((), self.flat_dtype())

    def covariance(self) -> tf.Tensor:
        return tf.zeros((self.num_parameters, self.num_parameters), self.flat_dtype())


FAMILIES: Mapping[str, type[Surrogate]] = MappingProxyType(
    {cls.family: cls for cls in (MeanField, LowRank, FullRank, Delta)}
)


def make(family: str, locs: Mapping[str, keras.Variable], **options: Any) -> Surrogate:
    """The surrogate of a family by name.

    Raises:
        UnknownNameError: If there is no such family.
        OptionsError: If the family has no such option.
    """
    if family not in FAMILIES:
        raise UnknownNameError("posterior family", family, FAMILIES)
    parameters = inspect.signature(FAMILIES[family]).parameters.values()
    known = [item.name for item in parameters if item.kind is item.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            raise OptionsError(
                f"The posterior family {family!r} has no option {option!r}."
                f"{did_you_mean(option, known)} Known: {', '.join(known) or 'none'}."
            )
    return FAMILIES[family](locs, name="posterior", **options)


def read(variable: keras.Variable) -> tf.Tensor:
    """The variable's value as a tensor (or, in a StatelessScope, the value that stands for it)."""
    return tf.convert_to_tensor(variable.value)
