"""Deep ensembles: nets trained from different starts, each a draw that counts once."""

from __future__ import annotations

import tfbdl
from tfbdl.data import Dataset
from tfbdl.posterior import Posterior
from tfbdl.protocols import Context, EngineResult

from .network_config import EnsembleOptions
from .trainer import Trainer, penalty_of
from .training import train


class Ensemble:
    """Trains members that differ in start, order of data and noise; each learns its own scale.

    The draws of the posterior are the members, ``[1, member, ...]``: all weights that train, the
    learned parameters, and moving statistics.

    Args:
        options: See EnsembleOptions.

    References:
        Lakshminarayanan, Pritzel & Blundell 2017, "Simple and Scalable Predictive Uncertainty
        Estimation using Deep Ensembles", algorithm 1 without adversarial examples.
    """

    def __init__(self, options: EnsembleOptions) -> None:
        self.options = options

    def fit(self, model: tfbdl.BayesianNetwork, data: Dataset, context: Context) -> EngineResult:
        """Train the members.

        Raises:
            DataError: If there are no targets, or the data do not end.
            RunError: If a loss is no finite number any more.
        """
        options = self.options
        penalty = penalty_of(model, options.objective)
        trainer = Trainer(model, data, options, penalty, context.seed, options.members)
        trained = train(trainer, options.members, context, options.checkpoint_seconds)
        members = {n: v for n, v in trained.buffers.items() if n not in trainer.seeds}
        draws = {name: value.numpy()[None] for name, value in (trained.params | members).items()}
        return EngineResult(
            posterior=Posterior(draws, independent=True),
            history=trained.history,
            metrics={"loss": trained.history["loss"][-1]},
        )
