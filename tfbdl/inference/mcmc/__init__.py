"""Markov chain Monte Carlo over any log joint: vectorised chains, compiled, in chunks."""

from .elliptical import GaussianTarget, elliptical_slice
from .gibbs import Sweeps
from .lockstep import Lockstep
from .nuts import Nuts
from .sampler import Length, sample
from .target import FlatTarget

__all__ = [
    "FlatTarget",
    "GaussianTarget",
    "Length",
    "Lockstep",
    "Nuts",
    "Sweeps",
    "elliptical_slice",
    "sample",
]
