"""Monte Carlo without chains: rejection, importance, particles, and how these are chosen anew."""

from .adaptive_rejection import AdaptiveRejection, adaptive_rejection_sampling
from .importance import Importance, importance_sampling
from .proposals import Elliptical, Prior, path_between
from .rejection import Rejection, rejection_sampling
from .resampling import SCHEMES, resample
from .smc import SequentialMonteCarlo
from .tempering import Path

__all__ = [
    "SCHEMES",
    "AdaptiveRejection",
    "Elliptical",
    "Importance",
    "Path",
    "Prior",
    "Rejection",
    "SequentialMonteCarlo",
    "adaptive_rejection_sampling",
    "importance_sampling",
    "path_between",
    "rejection_sampling",
    "resample",
]
