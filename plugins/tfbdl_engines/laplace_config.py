"""The options of Laplace's approximation."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfbdl import Field

from .network_config import TrainingOptions


class LaplaceOptions(TrainingOptions):
    """Of the mode, and of the curvature there.

    Where the curvature is the Hessian, the mode is found by Newton steps; otherwise a net is
    trained to it, or taken as it is with ``initial="current"``.
    """

    curvature: Literal["auto", "hessian", "full", "kronecker", "diagonal"] = Field(
        "auto",
        description="hessian: of any log joint, of up to 2,000 parameters. Of a network the "
        "generalised Gauss-Newton matrix: full, Kronecker-factored by layers, or its diagonal. "
        "auto: hessian; of a network with normal priors full, above 2,000 weights kronecker, or "
        "diagonal where a layer has no Kronecker factors.",
    )
    layers: Literal["all", "last"] = Field(
        "all", description="Whose weights are random; the others stay at the mode."
    )
    predictive: Literal["auto", "draws", "linearized", "linearized_draws"] = Field(
        "auto",
        description="Predict by the net under draws of the weights; or by its linearisation at the "
        "mode, in closed form (probit for classes) or under draws. auto: draws under a Hessian; "
        "else linearized where there is a closed form, or linearized_draws.",
    )
    evidence: bool = Field(
        False,
        description="Choose the prior's scale, and the noise of a Gaussian likelihood that learns "
        "it, where the log evidence is largest.",
    )
    prior_scales: Literal["shared", "layers"] = Field(
        "shared", description="What evidence chooses: one factor of the prior, or one a layer."
    )
    objective: Literal["map"] = Field(
        "map", description="A net is trained to the mode of the log joint."
    )
    restarts: int = Field(
        1, ge=1, description="Starts of the Newton search, of which the highest mode counts."
    )
    max_steps: int = Field(
        200, ge=1, description="Newton steps of a start after which the search is given up."
    )
    tolerance: float = Field(
        1e-10,
        gt=0,
        description="The Newton search ends where a step would gain less, in nats; never less than "
        "the rounding error of the log joint.",
    )
    dtype: Literal["auto", "float32", "float64"] = Field(
        "auto",
        description="Of parameters, data and log joint. auto: as the model is; a network is copied "
        "into another, any other model must be built in it.",
    )

    @property
    def of_network(self) -> list[str]:
        """The options given that the Hessian of a log joint knows nothing of."""
        asked = {
            "layers='last'": self.layers == "last",
            f"predictive={self.predictive!r}": self.predictive.startswith("linearized"),
            "evidence=True": self.evidence,
        }
        return [option for option, given in asked.items() if given]

    @pydantic.model_validator(mode="after")
    def _one_curvature(self) -> LaplaceOptions:
        if self.curvature == "hessian" and self.of_network:
            raise ValueError(
                f"curvature='hessian' does not go with {', '.join(self.of_network)}; "
                "use 'full', 'kronecker' or 'diagonal'"
            )
        if self.prior_scales != "shared" and not self.evidence:
            raise ValueError(f"prior_scales={self.prior_scales!r} is chosen with evidence=True")
        return self
