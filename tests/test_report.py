"""The pictures of a report are written, readable and of what the fit predicts."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import tfbdl
from tfbdl import _report_plots, api, cli, report
from tfbdl.data import as_dataset
from tfbdl.errors import MissingDependencyError, RunError
from tfbdl.fitted import Fit
from tfbdl.specs import RunSpec


def size_of(path: Path) -> tuple[int, int]:
    """Width and height that a PNG file's header gives, in pixels."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run on one input."""
    folder = tmp_path_factory.mktemp("runs") / "sinusoid"
    data_options = {"num_rows": 60, "num_test": 40}
    options = {"epochs": 3, "validation_split": 0.2}
    tfbdl.fit(
        "bbb", "sinusoid", data_options=data_options, engine_options=options, seed=1, out=folder
    )
    return folder


def test_report_of_numbers_is_drawn_into_the_runs_folder(
    regression: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(regression)]) == 0
    names = ["predictions", "calibration", "training"]
    paths = [regression / f"{name}.png" for name in names]
    out = capsys.readouterr().out
    for path in paths:
        width, height = size_of(path)
        assert width > height > 300
        assert f"picture: {path}" in out
    assert tfbdl.load(regression).metrics  # pictures in the folder do not break its manifest


def test_report_can_be_had_without_pictures(
    regression: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", "--no-pictures", str(regression)]) == 0
    assert "picture: " not in capsys.readouterr().out


def untrained(x: np.ndarray, y: np.ndarray, likelihood: str, outputs: int) -> Fit:
    """A fit of a network as it begins."""
    net = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(outputs)])
    model = tfbdl.BayesianNetwork(net, likelihood, num_data=len(x))
    return Fit(
        model=model,
        posterior=model.posterior,
        history={"elbo": [-3.0, -2.0], "val_nll": [1.0, 0.9], "nll": [1.1, 0.8]},
        metrics={},
        spec=RunSpec(model=None),
        info=as_dataset((x, y)).info,
    )


def test_report_of_classes_goes_into_the_folder_that_is_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    fit = untrained(x, y, "categorical", 2)
    paths = report.write_report(fit, (x, y), tmp_path / "new" / "folder")
    assert [path.stem for path in paths] == ["reliability", "uncertainty", "training"]
    assert all(path.parent == tmp_path / "new" / "folder" for path in paths)
    assert all(min(size_of(path)) > 300 for path in paths)


def test_several_targets_have_pictures_each_and_no_data_none(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3)).astype("float32")
    fit = untrained(x, x[:, :2], "gaussian", 2)
    paths = report.write_report(fit, (x, x[:, :2]), tmp_path)
    kinds = ("predictions", "calibration")
    each = [f"{kind}-{number}" for number in (0, 1) for kind in kinds]
    assert [path.stem for path in paths] == [*each, "training"]
    assert [path.stem for path in report.write_report(fit, None, tmp_path)] == ["training"]


def column(**changes: np.ndarray) -> _report_plots.Column:
    """Predictions for five rows, of which the last two are outside their interval."""
    values = {
        "y": np.array([0.0, 0.1, -0.1, 9.0, -9.0]),
        "mean": np.zeros(5),
        "aleatoric": np.ones(5),
        "epistemic": np.full(5, 0.5),
        "low": np.full(5, -2.0),
        "high": np.full(5, 2.0),
        "pit": np.array([0.5, 0.54, 0.46, 1.0, 0.0]),
    }
    return _report_plots.Column(target="price", **{**values, **changes})


def test_predictions_mark_what_is_outside_and_say_how_much_is_inside() -> None:
    figure = Figure()
    _report_plots.predictions(figure, column(), "test rows")
    top, bottom = figure.axes
    assert top.get_title() == "60.0 % of 5 test rows are inside their 90 % interval"
    outside = next(line for line in top.lines if line.get_label() == "observed, outside")
    assert list(outside.get_ydata()) == [9.0, -9.0]
    assert "price" in top.get_ylabel()
    assert "order of the predicted mean" in bottom.get_xlabel()


def test_predictions_of_one_input_are_drawn_against_it() -> None:
    figure = Figure()
    feature = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    _report_plots.predictions(figure, column(feature=feature), "test rows")
    mean = next(line for line in figure.axes[0].lines if line.get_label() == "predicted mean")
    assert list(mean.get_xdata()) == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_calibration_of_intervals_counts_both_tails() -> None:
    figure = Figure()
    pit = np.repeat([0.2, 0.8], 50)  # |2u - 1| = 0.6: inside every central interval above 0.6
    _report_plots.calibration(figure, pit, "test rows")
    observed = next(line for line in figure.axes[1].lines if line.get_label() == "observed")
    levels, shares = observed.get_xdata(), observed.get_ydata()
    assert (shares[levels < 0.59] == 0.0).all()
    assert (shares[levels > 0.61] == 1.0).all()


def test_report_names_the_extra_if_matplotlib_is_missing(
    regression: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'tfbdl\[plots\]'"):
        report.write_report(tfbdl.load(regression), None, tmp_path)


def test_report_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        api.write_report(tmp_path)
