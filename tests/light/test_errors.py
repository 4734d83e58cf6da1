"""Errors say what is wrong, what was expected and what was received."""

from __future__ import annotations

import pickle

import pytest

from tfbdl import errors


def test_unknown_name_error_names_the_nearest_and_lists_the_known() -> None:
    error = errors.UnknownNameError("engine", "nust", ["nuts", "hmc"])
    assert str(error) == "No engine is named 'nust'. Did you mean 'nuts'? Known: hmc, nuts."


def test_unknown_name_error_without_a_near_name_only_lists() -> None:
    error = errors.UnknownNameError("prior", "xyzzy", ["normal"])
    assert str(error) == "No prior is named 'xyzzy'. Known: normal."


def test_unknown_name_error_says_so_when_nothing_is_known() -> None:
    assert (
        str(errors.UnknownNameError("model", "bnn", [])) == "No model is named 'bnn'. Known: none."
    )


def test_unknown_name_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(errors.UnknownNameError("engine", "nust", ["nuts"])))
    assert (error.kind, error.name, error.known) == ("engine", "nust", ["nuts"])
    assert "Did you mean 'nuts'?" in str(error)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.UnknownNameError, KeyError),
        (errors.UnknownNameError, ValueError),
        (errors.OptionsError, ValueError),
        (errors.SpecError, ValueError),
        (errors.CapabilityError, ValueError),
        (errors.DataError, ValueError),
        (errors.ModelError, ValueError),
        (errors.RunError, RuntimeError),
        (errors.CheckpointError, OSError),
        (errors.BackendError, RuntimeError),
        (errors.MissingDependencyError, ImportError),
    ],
)
def test_error_is_ours_and_also_the_builtin_one(cls: type, builtin: type) -> None:
    assert issubclass(cls, errors.TfbdlError)
    assert issubclass(cls, builtin)


def test_did_you_mean_is_empty_when_nothing_is_near() -> None:
    assert errors.did_you_mean("zzz", ["nuts", "hmc"]) == ""
