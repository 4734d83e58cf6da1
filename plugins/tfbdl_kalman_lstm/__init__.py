"""Recursive Bayesian filters: Kalman's and its kin, and LSTMs that learn their models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfbdl import Capability, DatasetSpec, ModelSpec, PanelSpec, hookimpl
from tfbdl.lazy import on_demand

from .config import KalmanOptions
from .data_config import (
    LinearGaussianOptions,
    LorenzOptions,
    PendulumOptions,
    SeriesOptions,
    SimulatedOptions,
    TrackOptions,
)
from .network_config import KalmanNetOptions, LSTMKalmanOptions
from .nonlinear_config import ExtendedOptions, ParticleOptions, UnscentedOptions
from .panel import FilterControls

if TYPE_CHECKING:
    from .extended import ExtendedKalmanFilter
    from .kalman_filter import KalmanFilter
    from .kalman_net import KalmanNet
    from .lstm_kalman import LSTMKalman
    from .particle import ParticleFilter
    from .unscented import UnscentedKalmanFilter

__all__ = [
    "ExtendedKalmanFilter",
    "KalmanFilter",
    "KalmanNet",
    "LSTMKalman",
    "ParticleFilter",
    "UnscentedKalmanFilter",
]

_HEAVY = {
    "ExtendedKalmanFilter": "extended",
    "KalmanFilter": "kalman_filter",
    "KalmanNet": "kalman_net",
    "LSTMKalman": "lstm_kalman",
    "ParticleFilter": "particle",
    "UnscentedKalmanFilter": "unscented",
}


@hookimpl
def tfbdl_models() -> Iterable[ModelSpec]:
    """Name the models."""
    return (
        ModelSpec(
            name="kalman",
            summary="Linear Gaussian state-space model: a local level, a trend, or all matrices",
            factory="tfbdl_kalman_lstm.model:KalmanModel",
            config=KalmanOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EM, Capability.LOG_JOINT}),
            default_engine="em",
            missing_values=True,
            references=(
                "Kalman 1960, A New Approach to Linear Filtering and Prediction Problems",
                "Shumway & Stoffer 1982, An approach to time series smoothing and forecasting "
                "using the EM algorithm",
                "Durbin & Koopman 2012, Time Series Analysis by State Space Methods",
            ),
        ),
        ModelSpec(
            name="ekf",
            summary="Extended Kalman filter of a system by name: states and their uncertainty",
            factory="tfbdl_kalman_lstm.nonlinear_filters:ExtendedModel",
            config=ExtendedOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EXACT}),
            default_engine="exact",
            missing_values=True,
            references=(
                "Jazwinski 1970, Stochastic Processes and Filtering Theory",
                "Bell & Cathey 1993, The Iterated Kalman Filter Update as a Gauss-Newton Method",
            ),
        ),
        ModelSpec(
            name="ukf",
            summary="Unscented Kalman filter of a system by name, by sigma points",
            factory="tfbdl_kalman_lstm.nonlinear_filters:UnscentedModel",
            config=UnscentedOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EXACT}),
            default_engine="exact",
            missing_values=True,
            references=(
                "Wan & van der Merwe 2000, The Unscented Kalman Filter for Nonlinear Estimation",
            ),
        ),
        ModelSpec(
            name="particle",
            summary="Particle filter of a system by name, with paths by backward simulation",
            factory="tfbdl_kalman_lstm.nonlinear_filters:ParticleModel",
            config=ParticleOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.EXACT}),
            default_engine="exact",
            missing_values=True,
            references=(
                "Gordon, Salmond & Smith 1993, Novel approach to nonlinear/non-Gaussian Bayesian "
                "state estimation",
                "Pitt & Shephard 1999, Filtering via Simulation: Auxiliary Particle Filters",
                "Godsill, Doucet & West 2004, Monte Carlo Smoothing for Nonlinear Time Series",
            ),
        ),
        ModelSpec(
            name="lstm_kalman",
            summary="Kalman filter whose motion and noise are LSTMs, trained on sequences",
            factory="tfbdl_kalman_lstm.factory:build_lstm_kalman",
            config=LSTMKalmanOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.TRAINABLE}),
            default_engine="variational",
            missing_values=True,
            references=("Coskun et al. 2017, Long Short-Term Memory Kalman Filters, eqs. 9 to 16",),
        ),
        ModelSpec(
            name="kalman_net",
            summary="Filter of known motion whose gain a GRU gives; no covariance",
            factory="tfbdl_kalman_lstm.factory:build_kalman_net",
            config=KalmanNetOptions,
            task="unsupervised",
            capabilities=frozenset({Capability.TRAINABLE}),
            default_engine="variational",
            missing_values=True,
            references=(
                "Revach et al. 2022, KalmanNet: Neural Network Aided Kalman Filtering for "
                "Partially Known Dynamics, section III",
            ),
        ),
    )


@hookimpl
def tfbdl_datasets() -> Iterable[DatasetSpec]:
    """Name the simulators and the real series."""
    simulated: dict[str, tuple[type[SimulatedOptions], str]] = {
        "lorenz": (LorenzOptions, "The Lorenz attractor through noise, with its states"),
        "pendulum": (PendulumOptions, "A pendulum's position through noise, with its states"),
        "track": (TrackOptions, "A body of almost constant velocity, with its states"),
        "linear_gaussian": (LinearGaussianOptions, "A linear Gaussian model, with its states"),
    }
    series = {
        "nile": "Annual flow of the Nile at Aswan, 1871 to 1970: 100 steps",
        "lake_huron": "Annual level of Lake Huron, 1875 to 1972: 98 steps",
    }
    return (
        *(
            DatasetSpec(
                name=name,
                summary=summary,
                factory=f"tfbdl_kalman_lstm.simulators:{name}",
                config=config,
                task="regression",
            )
            for name, (config, summary) in simulated.items()
        ),
        *(
            DatasetSpec(
                name=name,
                summary=summary,
                factory=f"tfbdl_kalman_lstm.series:{name}",
                config=SeriesOptions,
                task="unsupervised",
            )
            for name, summary in series.items()
        ),
    )


@hookimpl
def tfbdl_panels() -> Iterable[PanelSpec]:
    """What the dashboard shows of filters."""
    return (
        PanelSpec(
            name="filtered_states",
            summary="Bands of a filter and a smoother, the gain, and a stream to step through",
            compute="tfbdl_kalman_lstm.states_shown:filtered_states",
            show="tfbdl_kalman_lstm.panel:show_filter",
            controls=FilterControls,
            models=("kalman", "lstm_kalman"),
        ),
    )


__getattr__, __dir__ = on_demand(__name__, _HEAVY)
