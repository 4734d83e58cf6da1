"""The plugin keeps to the contract of tfbdl, and its density is the Cauchy's."""

from __future__ import annotations

import math

import pytest

import tfbdl
from tfbdl.testing import check_plugin


def test_plugin_conforms() -> None:
    check_plugin("plugin_name")


def test_prior_at_zero_has_the_height_of_a_cauchy() -> None:
    prior = tfbdl.prior("plugin_name", scale=0.5).distribution((3,))
    # log p(0) = -log(pi gamma) for each of three weights; float32
    assert float(prior.log_prob([0.0, 0.0, 0.0])) == pytest.approx(
        -3 * math.log(math.pi * 0.5), rel=1e-5
    )
