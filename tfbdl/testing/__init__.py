"""The contract of a plugin as checks: for tfbdl's own plugins and for those of others.

One line tests a plugin whole; each part is a function too::

    from tfbdl.testing import check_plugin

    def test_plugin_conforms() -> None:
        check_plugin("my_plugin")

A check returns where the contract is kept and raises AssertionError, or an error of
``tfbdl.errors``, where it is broken.
"""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .contributions import check_options, check_registered
from .data import check_dataset
from .engines import check_engine
from .models import check_model, check_saves, check_seeds
from .panels import check_panel
from .plugin import check_plugin
from .priors import check_prior
from .replicas import check_gpu, check_replicas, two_logical_cpus
from .replications import GenerativeModel
from .simulation import (
    Calibration,
    JointTest,
    check_calibration,
    geweke,
    simulation_based_calibration,
)
from .steps import frozen_noise

__all__ = [
    "Calibration",
    "GenerativeModel",
    "JointTest",
    "check_calibration",
    "check_dataset",
    "check_engine",
    "check_gpu",
    "check_model",
    "check_options",
    "check_panel",
    "check_plugin",
    "check_prior",
    "check_registered",
    "check_replicas",
    "check_saves",
    "check_seeds",
    "frozen_noise",
    "geweke",
    "simulation_based_calibration",
    "two_logical_cpus",
]
