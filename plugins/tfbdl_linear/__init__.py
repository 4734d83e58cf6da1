"""Bayesian linear models: regression, classification by logistic regression, conjugate families."""

from __future__ import annotations

from collections.abc import Iterable

from tfbdl import Capability, ModelSpec, PanelSpec, hookimpl

from .config import ArdOptions, LinearFullOptions, LinearOptions
from .conjugate_config import ConjugateOptions
from .logistic_config import LogisticOptions
from .panel import BandControls


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    return (*_regressions(), *_classification(), *_conjugate())


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of a regression."""
    return (
        PanelSpec(
            name="predictive_band",
            summary="The function's posterior for one input, as rows are taken in",
            compute="tfbdl_linear.band_shown:predictive_band",
            show="tfbdl_linear.panel:show_band",
            controls=BandControls,
            models=("linear",),
        ),
    )


def _regressions() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="linear",
        summary="Bayesian linear regression in closed form, precisions given or by evidence",
        factory="tfbdl_linear.linear:Linear",
        config=LinearOptions,
        task="regression",
        capabilities=frozenset({Capability.EXACT, Capability.LOG_JOINT}),
        default_engine="exact",
        references=(
            "Bishop 2006, Pattern Recognition and Machine Learning, sections 3.3 to 3.5",
            "MacKay 1992, Bayesian Interpolation, Neural Computation 4",
        ),
    )
    yield ModelSpec(
        name="linear_full",
        summary="Linear regression with gamma priors over both precisions: VB, Gibbs or NUTS",
        factory="tfbdl_linear.linear_full:LinearFull",
        config=LinearFullOptions,
        task="regression",
        capabilities=frozenset({Capability.EM, Capability.LOG_JOINT, Capability.CONDITIONALS}),
        default_engine="em",
        references=("Bishop 2006, Pattern Recognition and Machine Learning, section 10.3",),
    )
    yield ModelSpec(
        name="ard",
        summary="Linear regression that finds relevant columns; at rows a relevance vector machine",
        factory="tfbdl_linear.ard:Ard",
        config=ArdOptions,
        task="regression",
        capabilities=frozenset({Capability.EXACT}),
        default_engine="exact",
        references=(
            "Tipping 2001, Sparse Bayesian Learning and the Relevance Vector Machine, JMLR 1",
            "Bishop 2006, Pattern Recognition and Machine Learning, section 7.2",
        ),
    )


def _classification() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="logistic",
        summary="Bayesian logistic regression: variational, Laplace, Gibbs or any sampler",
        factory="tfbdl_linear.logistic:LogisticRegression",
        config=LogisticOptions,
        task="classification",
        max_classes=2,
        capabilities=frozenset({Capability.LOG_JOINT, Capability.CONDITIONALS, Capability.EM}),
        default_engine="em",
        references=(
            "Bishop 2006, Pattern Recognition and Machine Learning, sections 4.4, 4.5 and 10.6",
            "Polson, Scott & Windle 2013, Bayesian Inference for Logistic Models, JASA 108",
        ),
    )


def _conjugate() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="conjugate",
        summary="Conjugate families in closed form: beta, Dirichlet, gamma and normal priors",
        factory="tfbdl_linear.conjugate:Conjugate",
        config=ConjugateOptions,
        task="unsupervised",
        capabilities=frozenset({Capability.EXACT}),
        default_engine="exact",
        references=(
            "Murphy 2012, Machine Learning: A Probabilistic Perspective, chapters 3 and 4",
            "Bishop 2006, Pattern Recognition and Machine Learning, chapter 2",
        ),
    )
