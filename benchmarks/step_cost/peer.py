"""The same net by bayesian-torch, in a process of its own: one JSON line in, one out."""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

import numpy as np
import torch
from bayesian_torch.layers import LinearReparameterization
from torch import nn
from torch.nn import functional

SIZES = (784, 400, 400, 10)
RAW_SCALE = -5.0
NARROW = -80.0


class Net(nn.Module):
    """784-400-400-10, relu, with a posterior over kernels and biases."""

    def __init__(self, weights: list[np.ndarray], raw_scale: float) -> None:
        super().__init__()
        pairs = itertools.pairwise(SIZES)
        self.layers = nn.ModuleList([LinearReparameterization(*pair) for pair in pairs])
        with torch.no_grad():
            for layer, kernel, bias in zip(self.layers, weights[::2], weights[1::2], strict=True):
                layer.mu_weight.copy_(torch.from_numpy(kernel.T.copy()))
                layer.mu_bias.copy_(torch.from_numpy(bias))
                layer.rho_weight.fill_(raw_scale)
                layer.rho_bias.fill_(raw_scale)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the divergence in nats."""
        divergence = x.new_zeros(())
        for index, layer in enumerate(self.layers):
            x, _ = layer(x)
            divergence = divergence + _divergence(layer)
            x = functional.relu(x) if index < len(self.layers) - 1 else x
        return x, divergence


def _divergence(layer: Any) -> torch.Tensor:
    """The library's own function, a mean over elements, times their number."""
    total = layer.mu_weight.new_zeros(())
    for name in ("weight", "bias"):
        mu, rho = getattr(layer, f"mu_{name}"), getattr(layer, f"rho_{name}")
        means, sigmas = getattr(layer, f"prior_{name}_mu"), getattr(layer, f"prior_{name}_sigma")
        total = total + mu.numel() * layer.kl_div(mu, torch.log1p(torch.exp(rho)), means, sigmas)
    return total


def main() -> None:
    """Answer until standard input ends."""
    model: Any = None
    for line in sys.stdin:
        question = json.loads(line)
        if question["do"] == "start":
            arrays = np.load(question["file"])
            x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"].astype("int64"))
            batch = question["batch"]
            weights = [arrays[f"w{index}"] for index in range(2 * len(SIZES) - 2)]
            model, narrow = Net(weights, RAW_SCALE), Net(weights, NARROW)
            optimizer = torch.optim.Adam(model.parameters(), 1e-3)
            with torch.no_grad():
                nll = functional.cross_entropy(narrow(x[:batch])[0], y[:batch])
                answer: Any = {"kl": float(model(x[:batch])[1]), "nll": float(nll)}
        else:
            began = time.perf_counter()
            epochs = [torch.randperm(len(x)).split(batch) for _ in range(question["epochs"])]
            for rows in itertools.chain.from_iterable(epochs):
                optimizer.zero_grad()
                logits, divergence = model(x[rows])
                (functional.cross_entropy(logits, y[rows]) + divergence / len(x)).backward()
                optimizer.step()
            answer = time.perf_counter() - began
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
