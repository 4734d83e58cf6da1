"""Plans: names, options, capabilities and files are checked before TensorFlow is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfbdl.config import Config, Field
from tfbdl.errors import CapabilityError, DataError, ModelError, OptionsError, UnknownNameError
from tfbdl.planning import ObjectDataOptions, default_engine_for, offered, plan
from tfbdl.registry import Catalog, Provider, Registry
from tfbdl.specs import Capability, DatasetSpec, EngineSpec, ModelSpec, PriorSpec, RunSpec

SOURCE = Provider("tests", "tests", "1")


class Net(Config):
    hidden: tuple[int, ...] = Field((50,), description="Units.")


class Draws(Config):
    draws: int = Field(1000, ge=1, description="Draws.")


class Scale(Config):
    scale: float = Field(1.0, gt=0, description="Scale.")


class File(Config):
    path: str = Field(description="Where.")
    sep: str | None = Field(None, description="Separator.")


def spec(cls: type, name: str, config: type[Config], **more: object) -> object:
    return cls(name=name, summary="S.", factory=dict, config=config, **more)


def catalog(kind: str, *specs: object) -> Catalog:
    return Catalog(kind, {one.name: (one, SOURCE) for one in specs})


@pytest.fixture(scope="module")
def known() -> Registry:
    return Registry(
        models=catalog(
            "model",
            spec(
                ModelSpec, "bbb", Net, task="t", capabilities={"trainable", "log_joint"},
                default_engine="variational", default_prior="normal",
            ),
            spec(
                ModelSpec, "gmm", Net, task="t", capabilities={"em", "log_joint"},
                default_engine="em",
            ),
        ),
        engines=catalog(
            "engine",
            spec(EngineSpec, "variational", Draws, needs=({"trainable"}, {"log_joint"})),
            spec(EngineSpec, "nuts", Draws, needs=({"log_joint"},)),
            spec(EngineSpec, "em", Draws, needs=({"em"},)),
        ),
        priors=catalog(
            "prior", spec(PriorSpec, "normal", Scale), spec(PriorSpec, "laplace", Scale)
        ),
        datasets=catalog(
            "dataset", spec(DatasetSpec, "yacht", Draws), spec(DatasetSpec, "file", File)
        ),
        panels=catalog("panel"),
        plugins=catalog("plugin"),
    )  # fmt: skip


def test_plan_takes_the_models_defaults(known: Registry) -> None:
    found = plan(RunSpec(model="bbb", data="yacht"), registry=known)
    assert (found.model.name, found.engine.name) == ("bbb", "variational")
    assert (found.prior.name, found.data.name) == ("normal", "yacht")
    assert found.model_options == Net(hidden=(50,))
    assert found.prior_options == Scale(scale=1.0)


def test_plan_passes_each_group_of_options_to_its_own_class(known: Registry) -> None:
    run = RunSpec(
        model="bbb", engine="nuts", prior="laplace", data="yacht", model_options={"hidden": [8, 4]},
        engine_options={"draws": 7}, prior_options={"scale": 0.5}, data_options={"draws": 3},
    )  # fmt: skip
    found = plan(run, registry=known)
    assert found.model_options.hidden == (8, 4)
    assert found.engine_options.draws == 7
    assert found.prior_options.scale == 0.5
    assert found.data_options.draws == 3
    assert found.run is run


def test_plan_uses_prior_options_with_the_default_prior(known: Registry) -> None:
    found = plan(RunSpec(model="bbb", prior_options={"scale": 2.0}), registry=known)
    assert (found.prior.name, found.prior_options.scale) == ("normal", 2.0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"model": "bbbb"}, "No model is named 'bbbb'. Did you mean 'bbb'? Known: bbb, gmm."),
        ({"engine": "nust"}, "No engine is named 'nust'. Did you mean 'nuts'?"),
        ({"engine": ""}, "No engine is named ''."),
        ({"prior": "laplac"}, "No prior is named 'laplac'. Did you mean 'laplace'?"),
        ({"data": "yatch"}, "No dataset is named 'yatch'. Did you mean 'yacht'?"),
        ({"model": "model:bbb"}, "No model is named 'model:bbb'."),
    ],
)
def test_plan_names_the_nearest_of_an_unknown_name(
    known: Registry, names: dict, message: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        plan(RunSpec(**{"model": "bbb", **names}), registry=known)
    assert message in str(caught.value)


def test_plan_refuses_an_engine_that_cannot_fit_and_names_those_that_can(known: Registry) -> None:
    with pytest.raises(CapabilityError) as caught:
        plan(RunSpec(model="bbb", engine="em"), registry=known)
    assert str(caught.value) == (
        "Engine 'em' cannot fit model 'bbb': it needs em, and the model offers log_joint, "
        "trainable. Engines that fit: nuts, variational."
    )


def test_plan_checks_options_against_the_engines_class(known: Registry) -> None:
    with pytest.raises(OptionsError, match="engine options of 'nuts' have no 'darws'"):
        plan(RunSpec(model="bbb", engine="nuts", engine_options={"darws": 1}), registry=known)


@pytest.mark.parametrize("more", [{"prior": "normal"}, {"prior_options": {"scale": 1.0}}])
def test_plan_refuses_a_prior_for_a_model_that_takes_none(known: Registry, more: dict) -> None:
    with pytest.raises(OptionsError, match="Model 'gmm' takes no prior"):
        plan(RunSpec(model="gmm", **more), registry=known)


def test_plan_of_an_object_uses_what_it_offers_and_its_default_engine(known: Registry) -> None:
    found = plan(
        RunSpec(model=None), offered=frozenset({Capability.LOG_JOINT}), default_engine="nuts",
        registry=known,
    )  # fmt: skip
    assert (found.model, found.model_options, found.prior) == (None, None, None)
    assert found.engine.name == "nuts"


def test_plan_of_an_object_refuses_an_engine_it_does_not_fit(known: Registry) -> None:
    with pytest.raises(CapabilityError, match="Engines that fit: nuts, variational"):
        plan(
            RunSpec(model=None, engine="em"), offered=frozenset({Capability.LOG_JOINT}),
            registry=known,
        )  # fmt: skip


def test_plan_of_an_object_without_default_engine_asks_for_one(known: Registry) -> None:
    with pytest.raises(CapabilityError, match=r"Name an engine.*Engines that fit: em\."):
        plan(RunSpec(model=None), offered=frozenset({Capability.EM}), registry=known)


@pytest.mark.parametrize("engine", [None, "nuts"])
def test_plan_of_an_object_that_offers_nothing_says_what_is_expected(
    known: Registry, engine: str | None
) -> None:
    with pytest.raises(CapabilityError, match=r"No engine can fit the given object.*protocols"):
        plan(RunSpec(model=None, engine=engine), offered=frozenset(), registry=known)


@pytest.mark.parametrize(("has_prior", "word"), [(True, "has its own"), (False, "takes none")])
def test_plan_refuses_a_prior_beside_an_object(known: Registry, has_prior: bool, word: str) -> None:
    with pytest.raises(OptionsError, match=word):
        plan(
            RunSpec(model=None, prior="normal"), offered=frozenset({Capability.LOG_JOINT}),
            default_engine="nuts", has_prior=has_prior, registry=known,
        )  # fmt: skip


def test_plan_refuses_model_options_beside_an_object(known: Registry) -> None:
    with pytest.raises(OptionsError, match="model_options belong to a model given by name"):
        plan(
            RunSpec(model=None, model_options={"hidden": [3]}),
            offered=frozenset({Capability.LOG_JOINT}), default_engine="nuts", registry=known,
        )  # fmt: skip


def test_plan_reads_a_file_through_the_file_data_set(known: Registry, tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("a,b\n1,2\n")
    run = RunSpec(model="bbb", data=str(path), data_options={"sep": ";"})
    found = plan(run, registry=known)
    assert found.data.name == "file"
    assert found.data_options == File(path=str(path), sep=";")


def test_plan_takes_an_existing_file_of_any_suffix(known: Registry, tmp_path: Path) -> None:
    path = tmp_path / "prices.txt"
    path.write_text("a,b\n1,2\n")
    assert plan(RunSpec(model="bbb", data=str(path)), registry=known).data.name == "file"


def test_plan_finds_a_file_in_the_home_folder(
    known: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "prices.npz").write_bytes(b"x")
    found = plan(RunSpec(model="bbb", data="~/prices.npz"), registry=known)
    assert found.data_options.path == str(tmp_path / "prices.npz")


def test_plan_says_which_file_is_missing_and_names_one_near(
    known: Registry, tmp_path: Path
) -> None:
    (tmp_path / "prices.csv").write_text("a\n")
    with pytest.raises(DataError, match=r"No file is at .*Did you mean 'prices\.csv'\?"):
        plan(RunSpec(model="bbb", data=str(tmp_path / "price.csv")), registry=known)
    with pytest.raises(DataError, match="its folder cannot be read"):
        plan(RunSpec(model="bbb", data=str(tmp_path / "no" / "price.csv")), registry=known)


def test_plan_says_that_a_folder_is_no_file(known: Registry, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        plan(RunSpec(model="bbb", data=str(tmp_path / "odd.csv")), registry=known)


def test_plan_refuses_two_paths(known: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n")
    run = RunSpec(model="bbb", data=str(tmp_path / "a.csv"), data_options={"path": "b.csv"})
    with pytest.raises(OptionsError, match="The file is given twice"):
        plan(run, registry=known)


def test_plan_of_an_object_as_data_takes_columns(known: Registry) -> None:
    found = plan(RunSpec(model="bbb", data_options={"target": "price"}), registry=known)
    assert found.data is None
    assert found.data_options == ObjectDataOptions(target=("price",))
    several = {"target": ["price", "size"], "features": ["age"]}
    found = plan(RunSpec(model="bbb", data_options=several), registry=known)
    assert found.data_options.target == ("price", "size")
    assert found.data_options.features == ("age",)
    of_stream = {"task": "classification", "num_classes": 4, "num_rows": 100}
    found = plan(RunSpec(model="bbb", data_options=of_stream), registry=known)
    assert found.data_options.model_dump(exclude_none=True) == of_stream
    with pytest.raises(OptionsError, match=r"have no 'targt'\. Did you mean 'target'\?"):
        plan(RunSpec(model="bbb", data_options={"targt": "price"}), registry=known)


class Density:
    sites = ()

    def init(self, seed: int) -> dict:
        return {}

    def log_joint(self, params: dict, batch: object) -> float:
        return 0.0


class Network(Density):
    def compile(self) -> None: ...

    def fit(self) -> None: ...


class Mixture(Density):
    def e_step(self) -> None: ...

    def m_step(self) -> None: ...

    def log_likelihood(self) -> None: ...


class JointDistribution:
    pass


class JointDistributionCoroutine(JointDistribution):
    pass


class Field2D:
    edges = num_sites = num_states = beta = 0


class Spoken:
    capabilities = ("em", "exact")
    default_engine = "mine"


class Conditional:
    conditionals = ()


class Conjugate:
    def condition(self, data: object) -> None: ...


@pytest.mark.parametrize(
    ("model", "capabilities", "engine"),
    [
        (Density(), {"log_joint"}, "nuts"),
        (Network(), {"log_joint", "trainable"}, "variational"),
        (Mixture(), {"log_joint", "em"}, "em"),
        (JointDistributionCoroutine(), {"log_joint"}, "nuts"),
        (Field2D(), {"potts"}, "swendsen_wang"),
        (Spoken(), {"em", "exact"}, "mine"),
        (Conditional(), {"conditionals"}, "gibbs"),
        (Conjugate(), {"exact"}, "exact"),
        (object(), set(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_object_tells_by_its_attributes_what_it_offers(
    model: object, capabilities: set[str], engine: str | None
) -> None:
    assert {capability.value for capability in offered(model)} == capabilities
    assert default_engine_for(model) == engine


def test_offered_refuses_a_class() -> None:
    with pytest.raises(ModelError, match="Received: the class 'Density'"):
        offered(Density)
