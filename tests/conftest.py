"""Two logical CPUs for the tests of replicas, wherever TensorFlow has been imported."""

from __future__ import annotations

import sys

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Split the CPU before a module's constants can begin TensorFlow.

    The first module that imports it begins nothing; a check of replicas that finds one CPU would
    start a process of its own, ten seconds each.
    """
    if isinstance(collector, pytest.Module) and "tensorflow" in sys.modules:
        from tfbdl.testing import two_logical_cpus

        two_logical_cpus()
