"""Mixtures and latent linear models: clusters, densities and principal components."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .bayesian_config import BayesianGMMOptions, DPMixtureOptions
from .config import GmmOptions
from .latent_config import KMeansOptions, PCAOptions, PPCAOptions
from .panel import StepControls


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    return (*_mixtures(), *_bayesian(), *_latent())


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of mixtures."""
    return (
        PanelSpec(
            name="responsibilities",
            summary="Components and the rows' shares in them, step by step",
            compute="tfbdl_mixture.steps_shown:responsibilities",
            show="tfbdl_mixture.panel:show_responsibilities",
            controls=StepControls,
            models=("gmm", "kmeans", "bayesian_gmm", "dp_mixture"),
        ),
    )


def _mixtures() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="gmm",
        summary="Mixture of normals: full, tied, diagonal or spherical covariances",
        factory="tfbdl_mixture.gmm:GaussianMixture",
        config=GmmOptions,
        task="unsupervised",
        capabilities=frozenset({Capability.EM}),
        default_engine="em",
        references=("Bishop 2006, Pattern Recognition and Machine Learning, section 9.2",),
    )


def _bayesian() -> Iterable[ModelSpec]:
    """Mixtures whose components have distributions."""
    both = frozenset({Capability.EM, Capability.CONDITIONALS})
    yield ModelSpec(
        name="bayesian_gmm",
        summary="Mixture of normals with priors on all it has; superfluous components empty",
        factory="tfbdl_mixture.bayesian_gmm:BayesianGMM",
        config=BayesianGMMOptions,
        task="unsupervised",
        capabilities=both,
        default_engine="em",
        references=(
            "Attias 2000, A Variational Bayesian Framework for Graphical Models",
            "Bishop 2006, Pattern Recognition and Machine Learning, section 10.2",
        ),
    )
    yield ModelSpec(
        name="dp_mixture",
        summary="Dirichlet process mixture of normals, which finds the number of components",
        factory="tfbdl_mixture.dp_mixture:DPMixture",
        config=DPMixtureOptions,
        task="unsupervised",
        capabilities=both,
        default_engine="em",
        references=(
            "Blei & Jordan 2006, Variational inference for Dirichlet process mixtures",
            "Neal 2000, Markov chain sampling methods for Dirichlet process mixture models",
        ),
    )


def _latent() -> tuple[ModelSpec, ...]:
    """K-means, and linear latent spaces."""
    return (
        ModelSpec(
            name="kmeans",
            summary="Clusters by the nearest of k centres (Lloyd's iterations from k-means++)",
            factory="tfbdl_mixture.kmeans:KMeans",
            config=KMeansOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EM}),
            default_engine="em",
            references=(
                "Lloyd 1982, Least squares quantization in PCM",
                "Arthur & Vassilvitskii 2007, k-means++: The Advantages of Careful Seeding",
                "Bishop 2006, Pattern Recognition and Machine Learning, section 9.1",
            ),
        ),
        ModelSpec(
            name="pca",
            summary="Principal axes, by number or by the share of the variance they explain",
            factory="tfbdl_mixture.pca:PCA",
            config=PCAOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EXACT}),
            default_engine="exact",
            references=("Bishop 2006, Pattern Recognition and Machine Learning, section 12.1",),
        ),
        ModelSpec(
            name="ppca",
            summary="Probabilistic PCA in closed form or by EM; values may be missing",
            factory="tfbdl_mixture.ppca:PPCA",
            config=PPCAOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EM, Capability.EXACT}),
            default_engine="exact",
            missing_values=True,
            references=(
                "Tipping & Bishop 1999, Probabilistic Principal Component Analysis",
                "Bishop 2006, Pattern Recognition and Machine Learning, section 12.2",
            ),
        ),
    )
