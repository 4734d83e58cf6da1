"""The built-in inference engines."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, EngineSpec, hookimpl

from .config import VariationalOptions


@hookimpl
def tfbdl_engines() -> Iterable[EngineSpec]:
    """Name the engines."""
    return (
        EngineSpec(
            name="variational",
            summary="Maximise the evidence lower bound with Keras' model.fit",
            factory="tfbdl_engines.variational:Variational",
            config=VariationalOptions,
            needs=(frozenset({Capability.TRAINABLE}), frozenset({Capability.LOG_JOINT})),
            references=(
                "Blundell et al. 2015, Weight Uncertainty in Neural Networks, arXiv:1505.05424",
                "Kucukelbir et al. 2017, Automatic Differentiation Variational Inference, JMLR 18",
            ),
        ),
    )
