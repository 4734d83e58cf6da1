"""Bayes by Backprop: nets with a distribution over each weight (Blundell et al. 2015).

``from tfbdl_bbb import BayesianRNN, recurrent_net`` imports TensorFlow on first use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfbdl import Capability, DatasetSpec, ModelSpec, PanelSpec, hookimpl
from tfbdl.lazy import on_demand

from .config import BBBOptions
from .panel import PruningControls
from .rnn_config import (
    BayesianRNNOptions,
    DescriptionsOptions,
    MarkovTextOptions,
    TextOptions,
)

if TYPE_CHECKING:
    from .bayesian_rnn import BayesianRNN
    from .markov_chain import MarkovChain
    from .rnn_net import recurrent_net
    from .texts import symbols_dataset, to_text

__all__ = ["BayesianRNN", "MarkovChain", "recurrent_net", "symbols_dataset", "to_text"]

_HEAVY = {
    "BayesianRNN": "bayesian_rnn",
    "MarkovChain": "markov_chain",
    "recurrent_net": "rnn_net",
    "symbols_dataset": "texts",
    "to_text": "texts",
}


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    return (
        ModelSpec(
            name="bbb",
            summary="Dense, convolutional or recurrent net with a posterior over its weights",
            factory="tfbdl_bbb.model:build",
            config=BBBOptions,
            task="supervised",
            capabilities=frozenset(
                {Capability.TRAINABLE, Capability.LOG_JOINT, Capability.NETWORK}
            ),
            default_engine="variational",
            default_prior="normal",
            references=(
                "Blundell et al. 2015, Weight Uncertainty in Neural Networks, arXiv:1505.05424",
                "Fortunato et al. 2017, Bayesian Recurrent Neural Networks, arXiv:1704.02798",
            ),
        ),
        ModelSpec(
            name="bayesian_rnn",
            summary="Recurrent language model with a posterior over its weights, for texts",
            factory="tfbdl_bbb.rnn_factory:build",
            config=BayesianRNNOptions,
            task="unsupervised",
            symbols=True,
            capabilities=frozenset({Capability.TRAINABLE, Capability.LOG_JOINT}),
            default_engine="variational",
            default_prior="scale_mixture",
            references=(
                "Fortunato et al. 2017, Bayesian Recurrent Neural Networks, arXiv:1704.02798",
                "Gal & Ghahramani 2016, A Theoretically Grounded Application of Dropout in "
                "Recurrent Neural Networks, arXiv:1512.05287",
            ),
        ),
    )


@hookimpl
def tfbdl_datasets() -> Iterable[DatasetSpec]:
    """Name the texts."""
    return (
        DatasetSpec(
            name="markov_text",
            summary="Symbols from a Markov chain whose entropy rate is known.",
            factory="tfbdl_bbb.texts:markov_text",
            config=MarkovTextOptions,
            task="unsupervised",
        ),
        DatasetSpec(
            name="descriptions",
            summary="Characters of the descriptions of data sets that ship with scikit-learn.",
            factory="tfbdl_bbb.texts:descriptions",
            config=DescriptionsOptions,
            task="unsupervised",
        ),
        DatasetSpec(
            name="text",
            summary="The characters of a text file of your own.",
            factory="tfbdl_bbb.texts:text",
            config=TextOptions,
            task="unsupervised",
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of the weights."""
    return (
        PanelSpec(
            name="pruning",
            summary="Signal to noise of the weights, and the net without the least of them",
            compute="tfbdl_bbb.weights:pruning",
            show="tfbdl_bbb.panel:show_pruning",
            controls=PruningControls,
            models=("bbb", "bayesian_rnn"),
        ),
        PanelSpec(
            name="weight_densities",
            summary="All weights under the prior and under the posterior",
            compute="tfbdl_bbb.weights:densities",
            show="tfbdl_bbb.panel:show_densities",
            models=("bbb", "bayesian_rnn"),
        ),
    )


__getattr__, __dir__ = on_demand(__name__, _HEAVY)
