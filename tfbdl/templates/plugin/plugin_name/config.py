"""The options of the prior."""

from __future__ import annotations

import tfbdl


class Options(tfbdl.Config):
    """Options of the Cauchy prior."""

    scale: float = tfbdl.Field(
        1.0, gt=0, description="Half width at half maximum of the density, in units of the weight."
    )
