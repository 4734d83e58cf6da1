"""Inference that engines and plugins share: the evidence lower bound, surrogates, fields."""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from . import reparameterizations
from .elbo import KLSchedule, minibatch_shares
from .fields import DirichletPotts, Potts
from .monte_carlo import (
    SequentialMonteCarlo,
    adaptive_rejection_sampling,
    importance_sampling,
    rejection_sampling,
    resample,
)
from .surrogate import FAMILIES, Delta, FullRank, LowRank, MeanField, Surrogate

__all__ = [
    "FAMILIES",
    "Delta",
    "DirichletPotts",
    "FullRank",
    "KLSchedule",
    "LowRank",
    "MeanField",
    "Potts",
    "SequentialMonteCarlo",
    "Surrogate",
    "adaptive_rejection_sampling",
    "importance_sampling",
    "minibatch_shares",
    "rejection_sampling",
    "reparameterizations",
    "resample",
]
