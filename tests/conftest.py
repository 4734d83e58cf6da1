"""Two logical CPUs for the tests of replicas, wherever a test module uses TensorFlow."""

from __future__ import annotations

import re
import sys

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Split the CPU before a module's constants can begin TensorFlow.

    A check of replicas that finds one CPU would start a process of its own, ten seconds each.
    Modules that do not speak of TensorFlow or Keras leave it unloaded.
    """
    if isinstance(collector, pytest.Module) and _uses_tensorflow(collector):
        from tfbdl.testing import two_logical_cpus

        two_logical_cpus()


def _uses_tensorflow(module: pytest.Module) -> bool:
    if "tensorflow" in sys.modules:
        return True
    text = module.path.read_text(encoding="utf-8")
    return re.search(r"^(import|from) (keras|tensorflow)", text, re.MULTILINE) is not None
