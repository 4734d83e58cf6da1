"""Stochastic-gradient Markov chain Monte Carlo over any log joint, in minibatches, compiled."""

from .density import Estimate, StochasticDensity
from .kernels import adam, noise_like, psgld, psgld_correction, sghmc, sgld
from .loop import Loop
from .rules import AdamRule, PsgldRule, SghmcRule, SgldRule
from .sampler import Length, sample
from .schedules import Constant, Cyclical, Polynomial

__all__ = [
    "AdamRule",
    "Constant",
    "Cyclical",
    "Estimate",
    "Length",
    "Loop",
    "Polynomial",
    "PsgldRule",
    "SghmcRule",
    "SgldRule",
    "StochasticDensity",
    "adam",
    "noise_like",
    "psgld",
    "psgld_correction",
    "sample",
    "sghmc",
    "sgld",
]
