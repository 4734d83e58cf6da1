"""Monte Carlo dropout: train with dropout, and keep dropping to predict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

import tfbdl
from tfbdl import functional, random
from tfbdl.data import Dataset
from tfbdl.errors import ModelError
from tfbdl.inference import dropout
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult

from .network_config import DropoutOptions
from .trainer import Penalty, Trainer, penalty_of
from .training import train


class MonteCarloDropout:
    """Trains one net with its dropout; the draws of the posterior are masks.

    Each draw has the trained weights and ``dropout.seed``, from which the masks of all dropout
    layers follow (``tfbdl.inference.dropout``).

    Args:
        options: See DropoutOptions.

    References:
        Gal & Ghahramani 2016, "Dropout as a Bayesian Approximation", equations (2) and (7).
    """

    def __init__(self, options: DropoutOptions) -> None:
        self.options = options

    def fit(self, model: tfbdl.BayesianNetwork, data: Dataset, context: Context) -> EngineResult:
        """Train the net and draw the masks.

        Raises:
            ModelError: If no layer of the net drops anything.
            DataError: If there are no targets, or the data do not end.
            RunError: If a loss is no finite number any more.
        """
        options = self.options
        _require_dropout(model)
        trainer = Trainer(model, data, options, self._penalty(model), context.seed, 1)
        trained = train(trainer, 1, context, options.checkpoint_seconds)
        for name, variable in (trainer.weights | trainer.buffers).items():
            variable.assign((trained.params | trained.buffers)[name][0])
        draws = {
            site.name: np.broadcast_to(
                trained.params[site.name].numpy()[:, np.newaxis], (1, options.draws, *site.shape)
            )
            for site in model.sites
        }
        seeds = random.bits((options.draws,), random.key(context.seed, dropout.SITE)).numpy()
        draws[dropout.SITE] = (seeds >> 1).astype("int64")[np.newaxis]
        return EngineResult(
            posterior=Posterior(draws, independent=True),
            history=trained.history,
            metrics={"loss": trained.history["loss"][-1]},
        )

    def _penalty(self, model: tfbdl.BayesianNetwork) -> Penalty | None:
        if self.options.length_scale is not None:
            return weight_decay(model, self.options.length_scale)
        return penalty_of(model, self.options.objective)


def weight_decay(model: tfbdl.BayesianNetwork, length_scale: float) -> Penalty:
    """The KL term of dropout under a normal prior of precision ``l^2``, in nats.

    ``sum l^2 (1 - p) / 2 * ||W||^2`` over kernels, whose inputs are dropped with probability p,
    and with p = 0 over biases. Divided by N tau it is the weight decay ``l^2 (1 - p) / (2 N tau)``
    beside a squared error ``||y - f||^2 / 2``; beside a log likelihood, in which the precision tau
    is the likelihood's own, it is divided by N alone.

    Args:
        model: What has the net.
        length_scale: l.

    References:
        Gal & Ghahramani 2016, equation (7), where p is the probability to keep.
    """
    rates = dropout.rates(model.net)

    def penalty(values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        terms = [
            (1.0 - rates[name]) * tf.reduce_sum(tf.square(tf.cast(values[name], "float32")))
            for name in model.weight_sites()
        ]
        return 0.5 * length_scale**2 * tf.add_n(terms)

    return penalty


def _require_dropout(model: tfbdl.BayesianNetwork) -> None:
    if dropout.layers(model.net):
        return
    without = [type(layer).__name__ for layer in functional.layers_of(model.net)]
    raise ModelError(
        "Engine 'mc_dropout' draws the masks of dropout, and no layer of the net has any. Add "
        "keras.layers.Dropout(rate) with a rate above 0 before each layer whose weights shall be "
        "random, or give a recurrent layer dropout= or recurrent_dropout=. "
        f"Received: layers {', '.join(without)}."
    )
