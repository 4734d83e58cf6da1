"""The same VAE in PyTorch, in a process of its own: one JSON line in, one out."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class VAE(nn.Module):
    """784-500-(20, 20) and 20-500-784, relu, Bernoulli."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 40))
        self.decoder = nn.Sequential(nn.Linear(20, 500), nn.ReLU(), nn.Linear(500, 784))

    def loss(self, x: torch.Tensor, noise: float = 1.0) -> torch.Tensor:
        """The negative ELBO, a mean over rows."""
        loc, raw = self.encoder(x).chunk(2, dim=-1)
        scale = functional.softplus(raw) + torch.finfo(raw.dtype).eps
        z = loc + scale * torch.randn_like(scale) * noise
        logits = self.decoder(z)
        nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (loc**2 + scale**2 - 1 - 2 * torch.log(scale)).sum()
        return (nll + kl) / len(x)


def main() -> None:
    """Answer until standard input ends."""
    model: Any = None
    for line in sys.stdin:
        question = json.loads(line)
        if question["do"] == "start":
            arrays = np.load(question["file"])
            model = VAE()
            with torch.no_grad():
                for parameter, name in zip(
                    model.parameters(), sorted(arrays.files)[:-1], strict=True
                ):
                    values = arrays[name]
                    parameter.copy_(torch.from_numpy(values.T if values.ndim == 2 else values))
            x = torch.from_numpy(arrays["x"])
            optimizer = torch.optim.Adam(model.parameters(), 1e-3)
            with torch.no_grad():
                answer: Any = float(model.loss(x[: question["batch"]], noise=0.0))
        else:
            began = time.perf_counter()
            order = torch.randperm(len(x))
            for rows in order.split(question["batch"]):
                optimizer.zero_grad()
                model.loss(x[rows]).backward()
                optimizer.step()
            answer = time.perf_counter() - began
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
