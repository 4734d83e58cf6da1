"""Priors over tensors: their base class, how to get one by name, and E_q[log p(w)]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import registry
from .config import Config, make
from .errors import ModelError, OptionsError, SpecError, did_you_mean
from .protocols import Parameter
from .specs import NoOptions
from .sums import event_sum

__all__ = [
    "Prior",
    "TensorDistribution",
    "as_normal",
    "expected_log_prob",
    "get",
    "has_closed_form",
    "name_of",
    "prior",
]

_DTYPES = ("float32", "float64")


class Prior:
    """What is believed of a tensor of any shape before the data are seen.

    A prior with independent elements overrides ``element``; any other overrides ``distribution``.
    Its options are its only state, so that a name and options are enough to make it again.

    Args:
        options: As declared in ``Options``.

    Attributes:
        Options: The class of the options.
        name: Under which the prior is registered; None if it was not made by ``prior()``.
    """

    Options: ClassVar[type[Config]] = NoOptions
    name: str | None = None

    def __init__(self, options: Config) -> None:
        self.options = options

    def distribution(
        self,
        shape: Any,
        dtype: str = "float32",
        name: str | None = None,
        **parameters: tf.Tensor,
    ) -> tfd.Distribution:
        """The distribution of one tensor.

        Args:
            shape: Of the tensor.
            dtype: ``float32`` or ``float64``. With mixed precision, densities are in float32.
            name: Of the site, for priors that treat sites differently.
            **parameters: Values of what ``parameters()`` declares; an absent one has its initial
                value.

        Returns:
            A distribution of event shape ``shape`` and batch shape ``()``.

        Raises:
            OptionsError: If the dtype is another.
            ModelError: If a parameter is given that the prior does not have.
        """
        shape, dtype = self.checked(shape, dtype, name, parameters)
        element = self.element(shape, dtype, name, **parameters)
        return tfd.Sample(element, sample_shape=shape, name=self.name or type(self).__name__)

    def checked(
        self, shape: Any, dtype: Any, name: str | None, parameters: Mapping[str, Any]
    ) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the tensor, for subclasses that override ``distribution``.

        Raises:
            OptionsError: If the dtype is none that a density is computed in.
            ModelError: If a parameter is given that the prior does not have.
        """
        shape = static_shape(shape)
        dtype = tf.as_dtype(dtype).name
        if dtype not in _DTYPES:
            raise OptionsError(
                f"A prior's density is computed in {' or '.join(_DTYPES)}. Received: {dtype}."
            )
        known = self.parameters(shape, name, dtype) if parameters else {}
        for given in parameters:
            if given not in known:
                raise ModelError(
                    f"The prior {self!r} has no parameter {given!r}.{did_you_mean(given, known)} "
                    f"Known: {', '.join(known) or 'none'}."
                )
        return shape, dtype

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The scalar distribution that each element of the tensor has, independently.

        Args:
            shape, dtype, name, **parameters: As for ``distribution``.

        Returns:
            A distribution of event shape ``()`` and batch shape ``()``.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must override element(shape, dtype, name, **parameters), or "
            "distribution(shape, dtype, name, **parameters)."
        )

    def parameters(
        self, shape: Any, name: str | None = None, dtype: str = "float32"
    ) -> Mapping[str, Parameter]:
        """What is learned of the prior itself for one tensor, by keyword of ``distribution``.

        Args:
            shape, name: Of the tensor.
            dtype: Of the parameter and its hyperprior.
        """
        return {}

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.model_dump().items())
        return f"{self.name or type(self).__name__}({options})"


class TensorDistribution(tfd.Distribution):
    """The frame of a distribution of one tensor, whose parameters TFP need not look into.

    A subclass has ``_log_prob`` and ``_sample_n``; its batch shape is ``()``.

    Args:
        dtype: Of the values.
        parameters: The subclass's arguments by name.
        event_shape: Of one value.
    """

    def __init__(self, dtype: Any, parameters: dict[str, Any], event_shape: Any = ()) -> None:
        self.shape_of_event = tf.TensorShape(event_shape)
        super().__init__(
            dtype=tf.as_dtype(dtype),
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=type(self).__name__,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {}

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _batch_shape_tensor(self, **parameter_kwargs: Any) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _event_shape(self) -> tf.TensorShape:
        return self.shape_of_event

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant(self.shape_of_event.as_list(), tf.int32)


def prior(name: str, **options: Any) -> Prior:
    """The prior that an installed plugin registers under ``name``.

    Args:
        name: As ``tfbdl list priors`` shows it.
        **options: As ``tfbdl show prior:NAME`` shows them.

    Raises:
        UnknownNameError: If no plugin provides it.
        OptionsError: If an option is unknown or out of range.
        SpecError: If the plugin's factory makes something else.

    Example:
        >>> p = tfbdl.prior("normal", scale=0.5)
        >>> p.distribution((3, 2)).log_prob(tf.zeros((3, 2)))
    """
    spec = registry.registry().priors[name]
    made = registry.resolve(spec.factory)(make(spec.config, options, f"options of prior {name!r}"))
    if not isinstance(made, Prior):
        raise SpecError(
            f"The factory of prior {name!r} must return a tfbdl.distributions.Prior. "
            f"Received: {made!r}."
        )
    made.name = name
    return made


def get(prior_or_name: str | Prior, options: Mapping[str, Any] | None = None) -> Prior:
    """A prior from what users give: a name with options, or a Prior.

    Raises:
        OptionsError: If options stand beside a Prior, or it is neither a name nor a Prior.
        UnknownNameError: If no plugin provides the name.
    """
    if isinstance(prior_or_name, str):
        return prior(prior_or_name, **(options or {}))
    if not isinstance(prior_or_name, Prior):
        raise OptionsError(
            "A prior must be a name or a tfbdl.distributions.Prior, such as "
            f"tfbdl.prior('normal', scale=0.5). Received: {prior_or_name!r}."
        )
    if options:
        raise OptionsError(
            f"prior_options go with a prior's name; {prior_or_name!r} has its own. "
            f"Received: {dict(options)!r}."
        )
    return prior_or_name


def name_of(prior: Prior) -> str:
    """The registered name of a prior, by which a stored model finds it again.

    Raises:
        ModelError: If it was not made by its name.
    """
    if prior.name is None:
        raise ModelError(
            f"The prior {prior!r} has no registered name, so a model that uses it cannot be "
            "stored. Register it in a plugin and make it with tfbdl.prior(name, ...)."
        )
    return prior.name


def has_closed_form(distribution: tfd.Distribution) -> bool:
    """Whether ``expected_log_prob`` is exact for this prior distribution: it is normal."""
    return as_normal(distribution) is not None


def expected_log_prob(
    distribution: tfd.Distribution, sample: tf.Tensor, mean: tf.Tensor, stddev: tf.Tensor
) -> tf.Tensor:
    r"""E_q[log p(w)], the cross term of KL(q || p), for a q with the given marginals.

    Where ``p`` is a product of normals, exactly

    .. math:: \sum_i -\frac{(m_i - l_i)^2 + s_i^2}{2 c_i^2} - \log c_i - \frac12 \log 2\pi,

    which needs the first two moments of ``q`` alone, whatever its form or correlations.
    Otherwise the estimate ``log p(w)`` at the one sample (Blundell et al. 2015, eq. 2), which is
    unbiased.

    Args:
        distribution: The prior p of one tensor.
        sample: A draw w from q, used where there is no closed form.
        mean, stddev: Of each element under q.

    Shapes:
        sample, mean, stddev: ``[..., *event_shape]``

    Returns:
        ``[...]``.
    """
    normal = as_normal(distribution)
    if normal is None:
        return distribution.log_prob(sample)
    elements = normal.log_prob(mean) - 0.5 * tf.square(stddev / normal.scale)
    return event_sum(elements, distribution.event_shape.rank)


def static_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of numbers.

    Raises:
        ModelError: If a dimension is unknown.
    """
    dims = tf.TensorShape(shape)
    if not dims.is_fully_defined():
        raise ModelError(f"A prior needs the whole shape of its tensor. Received: {shape!r}.")
    return tuple(dims.as_list())


def as_normal(distribution: tfd.Distribution) -> tfd.Normal | None:
    """The normal whose elementwise density is that of ``distribution``, if there is one."""
    if isinstance(distribution, tfd.Sample):
        inner = distribution.distribution
        alike = inner.batch_shape.rank == 0
    elif isinstance(distribution, tfd.Independent):
        inner, alike = distribution.distribution, True
    else:
        inner, alike = distribution, distribution.batch_shape.rank == 0
    return inner if alike and isinstance(inner, tfd.Normal) else None
