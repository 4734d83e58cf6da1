"""Engines of discrete fields: Swendsen-Wang, and Gibbs sampling site by site."""

from __future__ import annotations

from typing import Any

from tfbdl.data import Dataset
from tfbdl.errors import ModelError, OptionsError
from tfbdl.inference.fields import DirichletPotts, Field, Potts
from tfbdl.inference.fields import swendsen_wang as finite
from tfbdl.inference.fields.partitions import PartitionSweeps
from tfbdl.inference.fields.sampler import Sweep, sample_field
from tfbdl.inference.fields.single_site import SingleSite
from tfbdl.inference.mcmc import Length
from tfbdl.protocols import Context, EngineResult

from .mcmc_config import LengthOptions, SwendsenWangOptions


class SwendsenWang:
    """The algorithm of Swendsen and Wang, for fields whose couplings are not negative.

    Args:
        options: See SwendsenWangOptions.
    """

    def __init__(self, options: SwendsenWangOptions) -> None:
        self.options = options

    def fit(self, model: Any, data: Dataset | None, context: Context) -> EngineResult:
        """Sample the labels, given the data.

        Raises:
            ModelError: If a coupling is negative.
            OptionsError: If ``bond_share`` is below 1 and the number of labels is given.
        """
        field, share = field_of(model, data), self.options.bond_share
        return _sample(field, _swendsen_wang(field, share), self.options, context)


def single_site(model: Any, data: Dataset | None, options: Any, context: Context) -> EngineResult:
    """Sample the labels of a field by Gibbs sampling, each site given all others."""
    field = field_of(model, data)
    if isinstance(field, DirichletPotts):
        if options.order == "random":
            raise OptionsError(
                "A field with a Dirichlet process is swept site after site, in order. Expected "
                "order='systematic'. Received: 'random'."
            )
        return _sample(field, PartitionSweeps(field, bond_share=0.0), options, context)
    moves = SingleSite(field, random_order=options.order == "random")
    return _sample(field, moves, options, context)


def field_of(model: Any, data: Dataset | None) -> Potts | DirichletPotts:
    """The field that a model is, or that it makes of the data.

    Raises:
        ModelError: If ``model.field(data)`` gives something else.
    """
    if isinstance(model, Field):
        made: Any = model
    elif hasattr(model, "field"):
        made = model.field(data)
    else:
        log_likelihood = getattr(model, "log_likelihood", None)
        made = Potts(model.edges, model.num_sites, model.num_states, model.beta, log_likelihood)
    if not isinstance(made, Potts | DirichletPotts):
        raise ModelError(
            "A model of the capability potts makes a tfbdl.inference.Potts or DirichletPotts of "
            f"data. Received: a {type(made).__name__} from {type(model).__name__}.field."
        )
    return made


def _swendsen_wang(field: Potts | DirichletPotts, share: float | None) -> Sweep:
    if isinstance(field, DirichletPotts):
        return PartitionSweeps(field, share)
    if share not in (None, 1.0):
        raise OptionsError(
            "bond_share is of a DirichletPotts alone; the clusters of a Potts model are drawn at "
            f"once, with all of each coupling. Expected 1. Received: {share}."
        )
    return finite.SwendsenWang(field)


def _sample(field: Field, moves: Sweep, options: LengthOptions, context: Context) -> EngineResult:
    length = Length(
        chains=options.chains, warmup=options.warmup, draws=options.draws, thin=options.thin
    )
    return sample_field(
        field, moves, length, context, checkpoint_seconds=options.checkpoint_seconds
    )
