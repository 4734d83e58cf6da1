"""Seeds before each test; two logical CPUs for replicas; one search for Streamlit's components."""

from __future__ import annotations

import functools
import random
import re
import sys

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Prepare a process for the modules that it will run; light ones leave all unloaded."""
    if not isinstance(collector, pytest.Module):
        return
    if _uses_tensorflow(collector):
        # Before a module's constants can begin TensorFlow: a check of replicas that finds one CPU
        # would start a process of its own, ten seconds each.
        from tfbdl.testing import two_logical_cpus

        two_logical_cpus()
    if _imports(collector, "streamlit|dashboard_cases"):
        # Each new AppTest would read the metadata of every installed package, a second each.
        from streamlit import config
        from streamlit.components.v2 import manifest_scanner
        from streamlit.runtime.scriptrunner import script_runner

        scan = manifest_scanner.scan_component_manifests
        if not hasattr(scan, "cache_info"):
            manifest_scanner.scan_component_manifests = functools.cache(scan)
        # After each script Streamlit would end the session of a Keras that tests of nets loaded,
        # and collect garbage among all that they left: seconds each, and more on a slow machine.
        config.set_option("runner.postScriptGC", False)
        script_runner._clean_problem_modules = lambda: None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Keras' layers take their seeds from here: without it, weights hang on who ran before."""
    random.seed(0)


def _uses_tensorflow(module: pytest.Module) -> bool:
    return "tensorflow" in sys.modules or _imports(module, "keras|tensorflow")


def _imports(module: pytest.Module, packages: str) -> bool:
    text = module.path.read_text(encoding="utf-8")
    return re.search(rf"^(import|from) ({packages})", text, re.MULTILINE) is not None
