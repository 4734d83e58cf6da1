"""BayesianNetwork: any Keras net with a posterior over its weights."""

from .model import BayesianNetwork, bayesianize

__all__ = ["BayesianNetwork", "bayesianize"]
