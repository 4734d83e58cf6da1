"""PosteriorLayer: the base of the layers that draw their weights from posteriors at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import functional
from ..errors import ModelError
from .configs import configs_of
from .noise import Call, NoisyLayer
from .num_data import check_num_data
from .variational_weight import VariationalWeight

Function = Callable[..., Any]
ROLES = ("posterior_fn", "posterior_tensor_fn", "prior_fn", "divergence_fn")


class PosteriorLayer(NoisyLayer):
    """Base of the layers with weights that have posteriors and priors.

    A subclass says in ``weight_names`` how its weights are called. For a weight ``NAME`` it has the
    attributes ``NAME_posterior_fn`` (None: there is no such weight), ``NAME_posterior_tensor_fn``,
    ``NAME_prior_fn`` and ``NAME_divergence_fn``, and when it is built ``_NAME``, made by
    ``variational_weight``.

    Args:
        num_data: Number of training rows, by which divergences are divided, as belongs beside a
            loss that is a mean over rows. None: unscaled, as in TFP; training then warns. See
            ``set_num_data``.
        seed: Of the noise, as in NoisyLayer.
        **kwargs: Of ``keras.layers.Layer``.

    Raises:
        OptionsError: If an argument does not fit.
    """

    weight_names: ClassVar[tuple[str, ...]]

    def __init__(
        self, *, num_data: float | None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.num_data = check_num_data(num_data)

    def variational_weight(
        self, name: str, shape: Sequence[int], draw: Any = None
    ) -> VariationalWeight:
        """Make a weight from the functions that the attributes ``NAME_...`` hold."""
        functions = {role: getattr(self, f"{name}_{role}") for role in ROLES}
        weight = VariationalWeight(self, name, shape, draw=draw, **functions)
        weight.build()
        return weight

    def drawn_weights(self, call: Call) -> tuple[list[tf.Tensor | None], list[tf.Tensor | None]]:
        """A draw of each weight in turn, and its divergence; None where there is none."""
        values: list[tf.Tensor | None] = []
        divergences: list[tf.Tensor | None] = []
        for name in self.weight_names:
            weight = getattr(self, f"_{name}")
            parts, divergence = ((None,), None) if weight is None else weight(call)
            values.append(parts[0])
            divergences.append(divergence)
        return values, divergences

    def divergence_functions(self) -> tuple[Any, ...]:
        """Those that add to the losses."""
        found = []
        for name in self.weight_names:
            roles = ("posterior_fn", "prior_fn", "divergence_fn")
            functions = [getattr(self, f"{name}_{role}") for role in roles]
            if all(function is not None for function in functions):
                found.append(functions[-1])
        return tuple(found)

    def present(self, name: str, which: str) -> tfd.Distribution | None:
        """The posterior or the prior of a weight as it is now; None where there is none.

        Args:
            name: Of the weight.
            which: ``posterior`` or ``prior``.

        Raises:
            ModelError: If the layer is not built.
        """
        if not self.built:
            raise ModelError(f"The layer {self.name!r} has no {which} before it is built.")
        found = getattr(getattr(self, f"_{name}", None), which, None)
        return None if found is None else found.distribution()

    @property
    def kernel_posterior(self) -> tfd.Distribution | None:
        """q(kernel)."""
        return self.present("kernel", "posterior")

    @property
    def kernel_prior(self) -> tfd.Distribution | None:
        """p(kernel)."""
        return self.present("kernel", "prior")

    @property
    def bias_posterior(self) -> tfd.Distribution | None:
        """q(bias)."""
        return self.present("bias", "posterior")

    @property
    def bias_prior(self) -> tfd.Distribution | None:
        """p(bias)."""
        return self.present("bias", "prior")

    def get_config(self) -> dict[str, Any]:
        """Plain values.

        Raises:
            ModelError: If a function is not registered, so that no file could name it.
        """
        names = [f"{name}_{role}" for name in self.weight_names for role in ROLES]
        own = {"num_data": self.num_data, **configs_of(self, names)}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The inverse of ``get_config``."""
        return cls(**functional.constructor_arguments(config))
