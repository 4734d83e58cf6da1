"""What this plugin provides. TensorFlow is imported when the prior is used, not here."""

from __future__ import annotations

from collections.abc import Iterable

import tfbdl

from .config import Options


@tfbdl.hookimpl
def tfbdl_priors() -> Iterable[tfbdl.PriorSpec]:
    """The priors of this plugin."""
    yield tfbdl.PriorSpec(
        name="plugin_name",
        summary="A Cauchy distribution for every weight: sparse, with heavy tails.",
        factory="plugin_name.prior:Cauchy",
        config=Options,
        references=("Gelman et al. 2008, A weakly informative default prior, section 2",),
    )
