"""The same approximation by laplace-torch, in a process of its own: one JSON line in, one out.

Its predictions are those of the linearised net with the probit approximation, its default.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from laplace import Laplace
from torch import nn

STRUCTURES = {"full": "full", "kronecker": "kron", "diagonal": "diag"}
BATCH = 1_200  # all rows at once: its Kronecker factors are of each batch


class Task:
    """One net, its data, and a structure."""

    def __init__(self, question: dict[str, Any]) -> None:
        arrays = np.load(question["file"])
        kernels = [torch.from_numpy(arrays[f"w{i}"]) for i in range(2)]
        parts = [nn.Linear(*kernel.shape, bias=False) for kernel in kernels]
        with torch.no_grad():
            for part, kernel in zip(parts, kernels, strict=True):
                part.weight.copy_(kernel.T)
        self.net = nn.Sequential(parts[0], nn.Tanh(), parts[1])
        self.rows = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
        self.x_test = torch.from_numpy(arrays["x_test"])
        self.structure, self.prior = STRUCTURES[question["curvature"]], question["prior"]

    def fit(self) -> None:
        """Curvature, and the evidence."""
        batches = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(*self.rows), batch_size=BATCH
        )
        self.laplace = Laplace(
            self.net,
            "classification",
            subset_of_weights="all",
            hessian_structure=self.structure,
            prior_precision=self.prior,
        )
        self.laplace.fit(batches)
        self.log_evidence = float(self.laplace.log_marginal_likelihood())

    def predict(self) -> None:
        """Probabilities of the classes."""
        self.probs = self.laplace(self.x_test, pred_type="glm", link_approx="probit").detach()


def main() -> None:
    """Answer until standard input ends."""
    task: Any = None
    for line in sys.stdin:
        question = json.loads(line)
        if question["do"] == "start":
            task = Task(question)
            task.fit()
            task.predict()
            answer: Any = {"log_evidence": task.log_evidence, "probs": task.probs.tolist()}
        else:
            began = time.perf_counter()
            getattr(task, question["do"])()
            answer = time.perf_counter() - began
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
