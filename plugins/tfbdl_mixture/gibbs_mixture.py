"""GibbsMixture: what the Bayesian mixtures share that does not depend on the engine ``em``.

It keeps the prior in use, and answers for draws of the engine ``gibbs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.errors import ModelError
from tfbdl.parametric import ParametricModel
from tfbdl.posterior import Posterior

from .hyperparameters import prior_of
from .table import digest_of
from .wishart import GaussWishart

OF_COMPONENTS = ("weights_", "means_", "covariances_")
_PRIOR, _DIGEST = "prior_", "rows_digest"


class GibbsMixture(ParametricModel):
    """A mixture that a Gibbs sampler can draw the labels of.

    Attributes:
        base: The Gauss-Wishart prior in use; None before a fit.
        draws: Of a Gibbs sampler, or None.
        rows_digest: What the rows are known by that these draws divide, or None.
    """

    given_num_data: int | None = None  # the Gibbs sampler says how many rows there are
    num_data: int | None = None
    base: GaussWishart | None = None
    draws: Posterior | None = None
    rows_digest: np.ndarray | None = None

    def __getattr__(self, name: str) -> Any:
        if name in OF_COMPONENTS and self.has_draws_alone:
            raise ModelError(_no_components(name))
        return super().__getattr__(name)

    @property
    def has_draws_alone(self) -> bool:
        """Whether draws are what a fit has left."""
        return self.draws is not None and not self.params

    def fitted(self) -> dict[str, np.ndarray]:
        """The parameters of q.

        Raises:
            ModelError: If there are none: before a fit, and after the engine ``gibbs``.
        """
        if self.has_draws_alone:
            raise ModelError(_no_components("parameters of q and no responsibilities"))
        return super().fitted()

    def adopt(self, posterior: Posterior | None) -> None:
        """Take a Gibbs sampler's draws, over which densities are averaged then."""
        sites = posterior.draws if posterior is not None and posterior.is_finite else {}
        self.draws = posterior if "z" in sites else None

    def gibbs_shape(self) -> tuple[int, int]:
        """Rows and columns of the data to come.

        Raises:
            ModelError: If they are not known, or there is more than one array.
        """
        n = self.num_data or (None if self.info is None else self.info.num_rows)
        shape = None if self.info is None else self.info.x_shape
        if n is None or not isinstance(shape, tuple) or len(shape) != 1 or shape[0] is None:
            raise ModelError(
                "The Gibbs sampler must know the rows [n, d] before it begins. "
                f"Received: {n} rows of shape {shape}."
            )
        return n, shape[0]

    def gibbs_rows(self, batch: Any) -> tuple[tf.Tensor, GaussWishart]:
        """The rows of a batch ``x`` or ``(x, y)``, and the prior for them as arrays.

        Both are kept: the prior, and what the rows are known by.

        Raises:
            DataError, OptionsError: As ``prior_of``.
            ModelError: If the rows are not known when the sampler is compiled.
        """
        given = batch[0] if isinstance(batch, tuple) else batch
        known = tf.get_static_value(given)
        if known is None:
            raise ModelError("The rows must be arrays when the sampler is compiled.")
        rows = known.astype(self.dtype)
        self.base, self.rows_digest = prior_of(self.options, rows), digest_of(rows)
        return tf.cast(given, self.dtype), self.base

    def get_state(self) -> dict[str, np.ndarray]:
        """The parameters of q, the prior, and what the rows of draws are known by."""
        state = super().get_state()
        if self.base is not None:
            parts = self.base._asdict().items()
            state |= {f"{_PRIOR}{name}": np.asarray(value) for name, value in parts}
        if self.rows_digest is not None:
            state[_DIGEST] = self.rows_digest
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take a stored state.

        Raises:
            CheckpointError: If it is of another kind of model.
        """
        prior = {n.removeprefix(_PRIOR): v for n, v in state.items() if n.startswith(_PRIOR)}
        own = {n: v for n, v in state.items() if not n.startswith(_PRIOR) and n != _DIGEST}
        if own:
            super().set_state(own)
        self.base = GaussWishart(**prior) if prior else None
        self.rows_digest = state.get(_DIGEST)


def _no_components(what: str) -> str:
    return (
        f"Draws of the engine gibbs have no {what}: a component keeps no identity from one draw to "
        "the next, as labels may change places. Use what does not depend on labels: log_prob, "
        "sample, tfbdl_mixture.partitions.co_clustering(fit.posterior.draws['z']); or engine='em'."
    )
