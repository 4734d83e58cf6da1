"""Random variables as functions of noise: gradients through draws, relaxed, exact or estimated.

Pure functions of tensors and of a key of ``tfbdl.random``. Modules are part of the names:
``reparameterizations.concrete.sample``, ``reparameterizations.bernoulli.conditional``.
"""

from . import bernoulli, categorical, concrete
from .baselines import MovingAverage, leave_one_out, start_average, update_average
from .beams import Beams, stochastic_beam_search
from .conditional_gumbels import given_maximum, truncated
from .control_variates import rebar, relax
from .estimate import Estimate
from .implicit_gradients import implicit, implicit_sample, mixture
from .inclusion import horvitz_thompson, importance_weights, inclusion_log_probs
from .learned import ControlVariate, Quadratic, neural
from .noise import gumbel_of_uniform, logistic_of_uniform, standard_gumbel, standard_logistic
from .registered import TABLE, get, table
from .row import Noise, Reparameterization
from .score_function import NvilStep, nvil, reinforce
from .variance_reduction import reduce_variance
from .without_replacement import TopK, gumbel_top_k, plackett_luce_log_prob

__all__ = [
    "TABLE",
    "Beams",
    "ControlVariate",
    "Estimate",
    "MovingAverage",
    "Noise",
    "NvilStep",
    "Quadratic",
    "Reparameterization",
    "TopK",
    "bernoulli",
    "categorical",
    "concrete",
    "get",
    "given_maximum",
    "gumbel_of_uniform",
    "gumbel_top_k",
    "horvitz_thompson",
    "implicit",
    "implicit_sample",
    "importance_weights",
    "inclusion_log_probs",
    "leave_one_out",
    "logistic_of_uniform",
    "mixture",
    "neural",
    "nvil",
    "plackett_luce_log_prob",
    "rebar",
    "reduce_variance",
    "reinforce",
    "relax",
    "standard_gumbel",
    "standard_logistic",
    "start_average",
    "stochastic_beam_search",
    "table",
    "truncated",
    "update_average",
]
