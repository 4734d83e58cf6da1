"""What a Bayesian asks of a network: its posterior, predictions, evidence, and copies of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import tensorflow as tf

from .. import functional, random
from ..errors import ModelError
from ..posterior import Posterior, SurrogatePosterior
from ..predictive import Predictive, predictive_of
from ..serial import map_serially
from . import fitting, pruning, serialization
from .density import NetworkDensity

if TYPE_CHECKING:
    from .model import BayesianNetwork

PREDICT_DRAWS = 32


class PosteriorQueries(NetworkDensity):
    """The part of a BayesianNetwork that reads its posterior and trains nothing."""

    adopted: Posterior | None = None

    @property
    def posterior(self) -> SurrogatePosterior:
        """The approximate posterior as it stands."""
        self._require_built()
        return SurrogatePosterior(self._network())

    def adopt(self, posterior: Posterior) -> None:
        """Predict by these draws until the next training; the weights become ``point()``.

        Args:
            posterior: Draws of the sites, such as Markov chains or the members of an ensemble.
        """
        self.adopted = posterior
        named = functional.site_names(self.net)
        for name, value in posterior.point().items():
            if name in named:
                named[name].assign(value)
            elif name in self.learned:
                bijector = self.learned[name].bijector
                raw = value if bijector is None else bijector.inverse(value)
                self.learned_raw[name].assign(raw)

    def predictive(
        self,
        x: Any,
        draws: int = PREDICT_DRAWS,
        seed: int = 0,
        *,
        keep: bool = False,
        batch_size: int | None = None,
    ) -> Predictive:
        """The predictive distribution at ``x`` over draws of the weights; lazy.

        The draws are those of the posterior or, after ``adopt``, the adopted ones.

        Args:
            x: Inputs ``[n, ...]``.
            draws: Number of weight samples.
            seed: Of the weight samples.
            keep: Store the outputs of all draws.
            batch_size: Rows held at once.
        """
        self._require_built()
        x = fitting.gather_inputs(x)
        posterior = self.adopted or self.posterior
        options = {"keep": keep, "batch_size": batch_size}
        return predictive_of(self._network(), posterior, x, draws, seed, **options)

    def elbo(self, x: Any, y: Any, draws: int = 100, seed: int = 0) -> float:
        """The evidence lower bound in nats, of the whole data set ``(x, y)``.

        The likelihood term is a mean over ``draws``; the KL term is exact where it is closed and
        otherwise a mean over the same draws.
        """
        self._require_built()
        x, y = fitting.evaluation_data(self._network(), x, y)
        predictive = Predictive(self, self.posterior, x, draws, seed)
        total = predictive.expected_log_prob(y).sum()
        keys = random.fold_in(random.key(seed, "posterior"), tf.range(draws))
        if getattr(self, "kl_function", None) is None:  # kept, since tracing takes its time
            self.kl_function = tf.function(self._kl_of_draws, reduce_retracing=True)
        kl = self.kl_function(keys)
        return float(total - np.mean(kl.numpy(), dtype=np.float64))

    def _kl_of_draws(self, keys: tf.Tensor) -> tf.Tensor:
        kind = self.surrogate.flat_dtype()
        return map_serially(lambda key: self.kl(self.surrogate.sample(key)), keys, kind)

    def kl_figures(self, seed: int = 0) -> dict[str, float]:
        """Layer -> KL(q || prior) in nats, as the posterior stands; training is left as it is.

        Empty where the posterior does not take the sites as independent.
        """
        self._require_built()
        if getattr(self, "layers_function", None) is None:  # kept, since tracing takes its time
            self.layers_function = tf.function(
                lambda key: self.kl_by_layer(self.surrogate.sample(key))
            )
        found = self.layers_function(random.key(seed, "posterior"))
        return {layer: float(value) for layer, value in found.items()}

    def signal_to_noise(self) -> dict[str, np.ndarray]:
        """``|mean| / stddev`` of each weight (Blundell et al. 2015, section 5.1)."""
        return pruning.signal_to_noise(self._network())

    def prune(self, fraction: float) -> BayesianNetwork:
        """A copy in which the weights with the lowest signal-to-noise ratio are exactly zero.

        Args:
            fraction: Share of all random weights to remove, from 0 to 1.

        References:
            Blundell et al. 2015, section 5.1 and table 3.
        """
        return pruning.prune(self._network(), fraction)

    def clone(self, seed: int | None = None, **changes: Any) -> BayesianNetwork:
        """A copy with the same weights, or initialised anew from ``seed``.

        Args:
            seed: None keeps the weights; otherwise net and posterior start anew from it.
            **changes: Constructor arguments to change.
        """
        self._require_built()
        return serialization.clone(self._network(), seed, **changes)

    def _network(self) -> BayesianNetwork:
        """This object, of which only the part above is known here.

        No property: Keras follows those when it reads a file, and one that leads back to its
        owner leads it in circles.
        """
        return cast("BayesianNetwork", self)

    def _require_built(self) -> None:
        if not hasattr(self, "surrogate"):
            raise ModelError(
                f"The net {self.net.name!r} has no weights yet. Begin it with keras.Input(shape), "
                "or call the model once on data."
            )
