"""What a newcomer fills into the form of a new run, and the runs that come of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import browsing
from browsing import Visit
from dashboard_process import Dashboard

from tfbdl.runs import RunFolder

SHOTS = "TFBDL_SHOTS"
"""The variable that names a folder for the pictures of all pages."""


def figure(tab: Visit, name: str, height: int) -> None:
    """A picture for the README, if a folder for pictures is named."""
    if os.environ.get(SHOTS):
        folder = Path(os.environ[SHOTS])
        folder.mkdir(parents=True, exist_ok=True)
        tab.figure(folder / f"dashboard-{name}.png", height)


def choose_diabetes(tab: Visit) -> None:
    tab.choose("Model", "bbb")
    tab.choose("Data set", "diabetes")
    figure(tab, "new-run", 700)
    tab.without_none("epochs", "20")


def upload_wine(tab: Visit, folder: Path) -> None:
    """A table of three kinds of wine, as a person would keep it."""
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).frame.rename(columns={"target": "cultivar"})
    path = folder / "my wines.csv"
    frame.to_csv(path, index=False, sep=";")
    tab.choose("Model", "bbb")
    tab.pick("Upload")
    tab.page.locator("input[type=file]").set_input_files(path)
    tab.wait_for("178 rows")
    tab.wait_for("'cultivar' is taken as classes: 3")
    tab.without_none("epochs", "40")


def choose_vae(tab: Visit) -> None:
    tab.choose("Model", "vae")
    tab.choose("architecture", "mlp")
    tab.type("hidden", "64")
    tab.unfold()
    tab.choose("likelihood", "gaussian")
    tab.type("latent_dim", "4")
    tab.choose("Data set", "digits")
    tab.without_none("epochs", "100")


def choose_sampler(tab: Visit, model: str, data: str, engine: str, draws: int) -> None:
    """Two chains of so many draws, after as many of warm-up."""
    tab.choose("Model", model)
    tab.choose("Data set", data)
    tab.choose("Engine", engine)
    tab.type("chains", "2")
    tab.type("warmup", str(draws))
    tab.type("draws", str(draws))


def choose_nuts(tab: Visit) -> None:
    choose_sampler(tab, "linear ", "diabetes", "nuts", 150)


def choose_gmm(tab: Visit) -> None:
    tab.choose("Model", "gmm ")
    tab.type("num_components", "3")
    tab.choose("Data set", "iris")
    tab.choose("initial", "random")


def choose_barker(tab: Visit) -> None:
    """The engine of the third party's plugin."""
    choose_sampler(tab, "logistic ", "breast_cancer", "barker", 100)


@dataclass
class Ways:
    """Runs that were started by the form, each once."""

    browser: Any
    server: Dashboard
    folder: Path
    started: dict[str, str] = field(default_factory=dict)

    @property
    def choices(self) -> dict[str, Callable[[Visit], None]]:
        return {
            "bbb": choose_diabetes,
            "upload": lambda tab: upload_wine(tab, self.folder),
            "vae": choose_vae,
            "nuts": choose_nuts,
            "gmm": choose_gmm,
            "barker": choose_barker,
        }

    def start(self, name: str) -> str:
        """The id of the run; the first call fills in the form and presses Start."""
        if name not in self.started:
            tab = browsing.visit(self.browser, self.server)
            tab.open()
            tab.follow("New run")
            self.choices[name](tab)
            tab.page.get_by_test_id("stBaseButton-primary").get_by_text("Start").click()
            tab.page.get_by_role("heading", name="Live", level=1).wait_for()
            self.started[name] = tab.page.url.partition("run=")[2]
            tab.close()
            assert not tab.problems
        return self.started[name]

    def finish(self, name: str) -> str:
        """The id of the run, once it is done."""
        run = self.start(name)
        folder, deadline = RunFolder(self.server.root / run), time.monotonic() + 240
        while (state := folder.status().state) != "done":
            assert state in ("created", "running"), (state, folder.status().message)
            assert time.monotonic() < deadline, folder.status()
            time.sleep(0.2)
        return run
