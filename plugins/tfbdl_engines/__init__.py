"""The built-in inference engines."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, EngineSpec, PanelSpec, hookimpl

from .config import VariationalOptions
from .em_config import EmOptions, ExactOptions
from .laplace_config import LaplaceOptions
from .mcmc_config import (
    EllipticalSliceOptions,
    GibbsOptions,
    HmcOptions,
    MalaOptions,
    NutsOptions,
    RandomWalkOptions,
    SliceOptions,
    SwendsenWangOptions,
)
from .monte_carlo_config import (
    AdaptiveRejectionOptions,
    ImportanceOptions,
    RejectionOptions,
    SmcOptions,
)
from .network_config import DropoutOptions, EnsembleOptions, SwagOptions
from .panel import DrawPathControls, SamplerPathControls
from .pathfinder_config import PathfinderOptions
from .sgmcmc_config import PsgldOptions, SghmcOptions, SgldOptions

LOG_JOINT = (frozenset({Capability.LOG_JOINT}),)


@hookimpl
def tfbdl_engines() -> Iterable[EngineSpec]:
    """Name the engines."""
    return (
        *_variational(),
        *_laplace(),
        *_chains(),
        *_without_chains(),
        *_stochastic_gradients(),
        *_networks(),
        *_latent(),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of samplers."""
    chains = (*_chains(), *_stochastic_gradients())
    return (
        PanelSpec(
            name="draw_paths",
            summary="The path of a chain through two coordinates, over all draws",
            compute="tfbdl_engines.paths:draw_paths",
            show="tfbdl_engines.panel:show_draw_paths",
            controls=DrawPathControls,
            engines=tuple(spec.name for spec in chains),
        ),
        PanelSpec(
            name="sampler_paths",
            summary="Samplers at work on densities in the plane, with exact contours",
            compute="tfbdl_engines.paths:sampler_paths",
            show="tfbdl_engines.panel:show_sampler_paths",
            controls=SamplerPathControls,
        ),
    )


def _variational() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="variational",
        summary="Maximise the evidence lower bound with Keras' model.fit",
        factory="tfbdl_engines.variational:Variational",
        config=VariationalOptions,
        needs=(frozenset({Capability.TRAINABLE}), *LOG_JOINT),
        references=(
            "Blundell et al. 2015, Weight Uncertainty in Neural Networks, arXiv:1505.05424",
            "Kucukelbir et al. 2017, Automatic Differentiation Variational Inference, JMLR 18",
        ),
    )


def _laplace() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="laplace",
        summary="Laplace's approximation: a normal at the mode, of any log joint or trained net",
        factory="tfbdl_engines.laplace:Laplace",
        config=LaplaceOptions,
        needs=LOG_JOINT,
        references=(
            "MacKay 1992, A Practical Bayesian Framework for Backpropagation Networks",
            "Bishop 2006, Pattern Recognition and Machine Learning, equations 4.132 to 4.137",
            "Daxberger et al. 2021, Laplace Redux: Effortless Bayesian Deep Learning, NeurIPS 34",
            "Ritter et al. 2018, A Scalable Laplace Approximation for Neural Networks, ICLR",
        ),
    )
    yield EngineSpec(
        name="pathfinder",
        summary="Pathfinder: the best normals along an optimiser's paths, resampled",
        factory="tfbdl_engines.pathfinder:Pathfinder",
        config=PathfinderOptions,
        needs=LOG_JOINT,
        references=(
            "Zhang et al. 2022, Pathfinder: Parallel Quasi-Newton Variational Inference, JMLR 23",
        ),
    )


def _chains() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="nuts",
        summary="The no-U-turn sampler, with Stan's warm-up",
        factory="tfbdl_engines.mcmc:NoUTurn",
        config=NutsOptions,
        needs=LOG_JOINT,
        references=(
            "Hoffman & Gelman 2014, The No-U-Turn Sampler, JMLR 15",
            "Betancourt 2017, A Conceptual Introduction to HMC, arXiv:1701.02434",
        ),
    )
    yield EngineSpec(
        name="hmc",
        summary="Hamiltonian Monte Carlo with trajectories of random length",
        factory="tfbdl_engines.mcmc:Hamiltonian",
        config=HmcOptions,
        needs=LOG_JOINT,
        references=("Neal 2011, MCMC using Hamiltonian Dynamics, arXiv:1206.1901",),
    )
    yield EngineSpec(
        name="mala",
        summary="The Metropolis-adjusted Langevin algorithm",
        factory="tfbdl_engines.mcmc:Langevin",
        config=MalaOptions,
        needs=LOG_JOINT,
        references=("Roberts & Rosenthal 1998, Optimal scaling of Langevin diffusions, JRSSB 60",),
    )
    yield EngineSpec(
        name="random_walk",
        summary="Metropolis with normal proposals that learn the posterior's shape",
        factory="tfbdl_engines.mcmc:RandomWalk",
        config=RandomWalkOptions,
        needs=LOG_JOINT,
        references=("Haario, Saksman & Tamminen 2001, Bernoulli 7",),
    )
    yield EngineSpec(
        name="slice",
        summary="Slice sampling along random directions",
        factory="tfbdl_engines.mcmc:Slice",
        config=SliceOptions,
        needs=LOG_JOINT,
        references=("Neal 2003, Slice Sampling, Annals of Statistics 31",),
    )
    yield EngineSpec(
        name="elliptical_slice",
        summary="Elliptical slice sampling, for normal priors",
        factory="tfbdl_engines.mcmc:EllipticalSlice",
        config=EllipticalSliceOptions,
        needs=(frozenset({Capability.GAUSSIAN_PRIOR}),),
        references=("Murray, Adams & MacKay 2010, Elliptical slice sampling, AISTATS",),
    )
    yield EngineSpec(
        name="gibbs",
        summary="Gibbs sampling: blocks drawn exactly given the rest",
        factory="tfbdl_engines.mcmc:Gibbs",
        config=GibbsOptions,
        needs=(frozenset({Capability.CONDITIONALS}), frozenset({Capability.POTTS})),
        references=(
            "Geman & Geman 1984, Stochastic Relaxation, IEEE PAMI 6",
            "Gelfand & Smith 1990, Sampling-Based Approaches, JASA 85",
        ),
    )
    yield EngineSpec(
        name="swendsen_wang",
        summary="Swendsen-Wang: clusters of a discrete field change their labels together",
        factory="tfbdl_engines.fields:SwendsenWang",
        config=SwendsenWangOptions,
        needs=(frozenset({Capability.POTTS}),),
        references=(
            "Swendsen & Wang 1987, Nonuniversal critical dynamics in Monte Carlo, PRL 58",
            "Xu, Caron & Doucet 2016, A generalised Swendsen-Wang algorithm, arXiv:1602.03048",
        ),
    )


def _without_chains() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="smc",
        summary="Sequential Monte Carlo: particles from the prior to the posterior, and evidence",
        factory="tfbdl_engines.smc:Smc",
        config=SmcOptions,
        needs=LOG_JOINT,
        references=(
            "Del Moral, Doucet & Jasra 2006, Sequential Monte Carlo samplers, JRSSB 68",
            "Buchholz, Chopin & Jacob 2021, Adaptive Tuning of HMC Within SMC, arXiv:1808.07730",
        ),
    )
    yield EngineSpec(
        name="importance",
        summary="Importance sampling: weighted draws of a Student t at the mode, and evidence",
        factory="tfbdl_engines.monte_carlo:Importance",
        config=ImportanceOptions,
        needs=LOG_JOINT,
        references=(
            "Geweke 1989, Bayesian Inference Using Monte Carlo Integration, Econometrica 57",
            "Vehtari et al. 2024, Pareto Smoothed Importance Sampling, JMLR 25",
        ),
    )
    yield EngineSpec(
        name="rejection",
        summary="Rejection sampling: independent draws, with a check of the bound",
        factory="tfbdl_engines.monte_carlo:Rejection",
        config=RejectionOptions,
        needs=LOG_JOINT,
        references=("Robert & Casella 2004, Monte Carlo Statistical Methods, section 2.3",),
    )
    yield EngineSpec(
        name="adaptive_rejection",
        summary="Adaptive rejection: exact draws where the density is log-concave",
        factory="tfbdl_engines.adaptive_rejection:AdaptiveRejection",
        config=AdaptiveRejectionOptions,
        needs=LOG_JOINT,
        references=("Gilks & Wild 1992, Adaptive Rejection Sampling, JRSSC 41",),
    )


def _stochastic_gradients() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="sgld",
        summary="Stochastic gradient Langevin dynamics on minibatches",
        factory="tfbdl_engines.sgmcmc:Sgld",
        config=SgldOptions,
        needs=LOG_JOINT,
        references=(
            "Welling & Teh 2011, Bayesian Learning via Stochastic Gradient Langevin Dynamics",
            "Zhang et al. 2020, Cyclical Stochastic Gradient MCMC, arXiv:1902.03932",
        ),
    )
    yield EngineSpec(
        name="psgld",
        summary="Langevin dynamics with an RMSprop preconditioner",
        factory="tfbdl_engines.sgmcmc:Psgld",
        config=PsgldOptions,
        needs=LOG_JOINT,
        references=("Li et al. 2016, Preconditioned SGLD for Deep Networks, arXiv:1512.07666",),
    )
    yield EngineSpec(
        name="sghmc",
        summary="Stochastic gradient Hamiltonian Monte Carlo with friction",
        factory="tfbdl_engines.sgmcmc:Sghmc",
        config=SghmcOptions,
        needs=LOG_JOINT,
        references=("Chen, Fox & Guestrin 2014, Stochastic Gradient HMC, arXiv:1402.4102",),
    )


def _networks() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="ensemble",
        summary="Deep ensemble: nets from different starts, each with its own noise",
        factory="tfbdl_engines.ensemble:Ensemble",
        config=EnsembleOptions,
        needs=(frozenset({Capability.NETWORK}),),
        references=(
            "Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation "
            "using Deep Ensembles, arXiv:1612.01474",
        ),
    )
    yield EngineSpec(
        name="mc_dropout",
        summary="Monte Carlo dropout: train a net with dropout, and drop on to predict",
        factory="tfbdl_engines.mc_dropout:MonteCarloDropout",
        config=DropoutOptions,
        needs=(frozenset({Capability.NETWORK}),),
        references=(
            "Gal & Ghahramani 2016, Dropout as a Bayesian Approximation, equations (2) and (7)",
        ),
    )
    yield EngineSpec(
        name="swag",
        summary="SWAG: a normal of low rank from the weights that gradient descent passes",
        factory="tfbdl_engines.swag:Swag",
        config=SwagOptions,
        needs=(frozenset({Capability.NETWORK}),),
        references=(
            "Maddox et al. 2019, A Simple Baseline for Bayesian Uncertainty in Deep Learning, "
            "algorithm 1, arXiv:1902.02476",
        ),
    )


def _latent() -> Iterable[EngineSpec]:
    yield EngineSpec(
        name="em",
        summary="Expectation maximisation, for latent variables that can be integrated out",
        factory="tfbdl_engines.em:ExpectationMaximization",
        config=EmOptions,
        needs=(frozenset({Capability.EM}),),
        references=(
            "Dempster, Laird & Rubin 1977, Maximum Likelihood from Incomplete Data, JRSSB 39",
            "Neal & Hinton 1998, A View of the EM Algorithm that Justifies Variants",
            "Cappe & Moulines 2009, On-line Expectation-Maximization, JRSSB 71, equation (9)",
        ),
    )
    yield EngineSpec(
        name="exact",
        summary="Closed forms: the posterior given all rows, or updated as they come",
        factory="tfbdl_engines.exact:Exact",
        config=ExactOptions,
        needs=(frozenset({Capability.EXACT}),),
        references=("Bishop 2006, Pattern Recognition and Machine Learning, chapters 2 and 3",),
    )
