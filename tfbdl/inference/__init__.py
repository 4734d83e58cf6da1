"""Inference that engines and plugins share: the evidence lower bound and Gaussian surrogates."""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .elbo import KLSchedule, minibatch_shares
from .surrogate import FAMILIES, Delta, FullRank, LowRank, MeanField, Surrogate

__all__ = [
    "FAMILIES",
    "Delta",
    "FullRank",
    "KLSchedule",
    "LowRank",
    "MeanField",
    "Surrogate",
    "minibatch_shares",
]
