"""Arguments of the wrong type are one TypeError in whatever public function."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.engines.caffe_net import CaffeNet
from netsurgery.engines.ort import EmbeddedEngine, EmbeddedNet
from netsurgery.engines.pycaffe import PycaffeEngine
from netsurgery.io.argument_types import checked_argument, checks_arguments

#: Classes that callers make themselves; all others are what functions return.
MADE_BY_CALLERS = {
    "Augmentation", "BoxRules", "ChannelView", "EngineOptions", "MapView", "Net",
    "NetState", "PictureLook", "PictureOptions", "Settings", "SolverSettings",
    "TruthRules",
}  # fmt: skip
RETURNED = {
    "Caffe", "Check", "ClassMap", "DensePlan", "Explanation", "Initialization", "JobMerge",
    "JobStatus", "Layer",
    "NetEvaluation", "ParamInspection", "PlannedTraining", "Preset", "ReceptiveField",
    "TilesVerification", "Training", "TrainingProgress", "TrainingReport", "Verification",
}  # fmt: skip
#: What stands for the protocol that callers know them by.
ENGINES = {"Engine": (PycaffeEngine, EmbeddedEngine), "LoadedNet": (CaffeNet, EmbeddedNet)}

#: Checked where it is used; see test_a_wrong_classes_argument_of_setup.
OTHERS = {"setup(classes)"}

#: Of each type, values that are none.
WRONG: dict[str, list[Any]] = {
    "bool": ["no", 0, 1, 1.0, np.int64(1), [True], np.array([True])],
    "int": [True, np.True_, "1", 1.0, np.float32(1), [1], np.array([1])],
    "float": [True, np.True_, "0.1", [0.1], np.array([0.1])],
    "int | str": [True, 1.5, ["1"], np.True_],
    "str": [True, 1, b"data", ["data"]],
    "Net": [True, 1, "net.prototxt", ["net.prototxt"]],
    "NetState": ["TEST", 1, {}],
    "MapView": ["max", 1, {}],
    "PictureLook": ["panels", 1, {}],
}
NO_PATHS: list[Any] = [5, True, b"net.prototxt", ["net.prototxt"], {}, object(), np.zeros(2)]
NO_TEXT: list[Any] = [True, 1, b"data", ["data"], {}, np.array(["a", "b"]), np.array(None)]
NO_MAPPINGS: list[Any] = [5, "data", [("data", 1)], {5: "data"}, {None: "data"}, np.eye(2)]
NO_NUMBERS: list[Any] = [5, "12", ["1", "2"], [True, 1], [[1], [2]], np.array(None), np.eye(2)]
NO_FUNCTIONS: list[Any] = [5, True, "print", [print], np.eye(2)]
NO_RULES: list[Any] = [True, 5, "rules", [], {}, np.eye(2)]
WRONG |= {
    **dict.fromkeys(("AnyPath", "Path", "Path | str", "str | Path"), NO_PATHS),
    **dict.fromkeys(
        ("Net | AnyPath", "Settings | AnyPath", "Settings | str | Path", "Path | NetDefinition"),
        NO_PATHS,
    ),
    "AnyEngine": NO_TEXT,
    **dict.fromkeys(
        (
            "ChannelScale", "EngineChoice", "Fit", "FormatName", "Layout", "Literal['RGB', 'L']",
            "Literal['pixels']", "MaskRule", "Phase", "PresetName", "ValueColors",
            "WeightsStorage",
        ),
        NO_TEXT,
    ),
    **dict.fromkeys(
        ("Mapping[str, Shape]", "Mapping[str, tuple[int, ...]]"),
        NO_MAPPINGS,
    ),
    "Iterable[AnyPath]": [5, "a.txt", b"a.txt", ["a.txt", 5], [b"a.txt"], [None]],
    "Mapping[str, AnyPath]": [*NO_MAPPINGS, {"npy": 5}, {"npy": b"a.npy"}],
    "Mapping[str, str]": [*NO_MAPPINGS, {"ip1": 3}, {"ip1": None}],
    "tuple[float, float]": [*NO_NUMBERS, (1, 2, 3), []],
    "tuple[int, ...]": [*NO_NUMBERS, (1.0,)],
    **dict.fromkeys(
        (
            "Augmentation", "BoxRules", "ChannelView", "Explain", "NetWithWeights",
            "SolverSettings", "TextStyle", "TruthRules",
        ),
        NO_RULES,
    ),
    **dict.fromkeys(
        (
            "Callable[[TrainingProgress], object]", "Callable[[int, int], None]", "OnBytes",
            "OnProgress", "Report",
        ),
        NO_FUNCTIONS,
    ),
}  # fmt: skip
#: Checked where they are used, since more is said of them there; in the tests of each.
USED = {
    "AnyEngine | tuple[AnyEngine, AnyEngine]",
    "AnyMean",
    "AnyModel",
    "AnyPath | Iterable[AnyPath]",
    "AnyPicture",
    "AnyPicture | Iterable[AnyPicture]",
    "AnyPictureOptions",
    "AnyScales",
    "AnySide",
    "AnySize",
    "Array",
    "ArrayLike",
    "InputSize",
    "Iterable[Message]",
    "Iterable[float]",
    "Iterable[str]",
    "Layer",
    "Mapping[str, ArrayLike]",
    "Mapping[str, Array]",
    "Mapping[str, Shape | AnySize] | Sequence[NewInputSize]",
    "Message",
    "NDArray[np.float32]",
    "Picture",
    "Placement",
    "Sequence[AnyPath]",
    "Sequence[NetWithWeights]",
    "Sequence[int]",
    "Sequence[str]",
    "SettingsOutcome",
    "Size",
    "TileSize",
    "TileStore",
    "frozenset[str]",
    "int | str | Sequence[int | str]",
    "str | Iterable[str]",
    "str | Path | Iterable[str]",
    "str | Sequence[int]",
    "tuple[int, int]",
    "tuple[str, ...]",
    "tuple[tuple[str, tuple[int, ...]], ...]",
}
#: One of these among others that are none of `WRONG` would go untried.
CHECKED = {"bool", "int", "float"}
RIGHT: dict[str, list[Any]] = {
    "bool": [True, np.False_],
    "int": [3, np.int64(3), np.uint8(3)],
    "float": [0.5, 2, np.float32(0.5), np.int64(2)],
    "int | str": [3, "kit fox", np.int16(3)],
}
#: What stands for arguments that are needed, and checked before the one that is tried.
NEEDED: dict[str, Any] = {
    **dict.fromkeys(("str", "AnyPath", "Path | str", "str | Path"), ""),
    **dict.fromkeys(("Net | AnyPath", "Settings | str | Path", "Path | NetDefinition"), ""),
    "AnyEngine": "auto",
    "int": 1,
    "Mapping[str, Shape]": {},
}


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, method and constructor for callers."""
    for name in ns.__all__:
        public = getattr(ns, name)
        if inspect.isfunction(public):
            yield name, public
        elif inspect.isclass(public) and not issubclass(public, BaseException):
            for kind in ENGINES.get(name, (public,)):
                for member in vars(public):
                    method = getattr(kind, member, None)  # an attribute is in instances alone
                    own = member == "__init__" and name in MADE_BY_CALLERS
                    if inspect.isfunction(method) and (own or not member.startswith("_")):
                        yield f"{kind.__name__}.{member}", method


def cases() -> Iterator[tuple[str, Callable[..., Any], str, str]]:
    """A function, a parameter that is a boolean or a number, and its annotation."""
    for name, function in functions():
        for key, parameter in inspect.signature(function).parameters.items():
            annotation = str(parameter.annotation)
            if parameter.kind is parameter.VAR_POSITIONAL:
                continue  # a shape, which is checked as a whole
            if kind_of(annotation) in WRONG:
                yield f"{name}({key})", function, key, annotation
            elif not CHECKED.isdisjoint(annotation.split(" | ")):
                assert f"{name}({key})" in OTHERS, "no values to try it with"


def kind_of(annotation: str) -> str:
    return annotation.removesuffix(" | None")


CASES = {case[0]: case[1:] for case in cases()}


@pytest.mark.parametrize("name", CASES)
def test_a_value_of_the_wrong_type_is_refused_by_name(name: str) -> None:
    function, key, annotation = CASES[name]
    wrong = WRONG[kind_of(annotation)]
    for value in [*wrong, *([] if annotation.endswith(" | None") else [None])]:
        with pytest.raises(TypeError) as caught:
            call(function, key, value)
        error = str(caught.value)
        assert re.fullmatch(
            rf"{key}: found .*, expected [A-Za-z' ]+(, [A-Za-z ]+)?( or [A-Za-z' ]+)?", error
        ), error


def call(function: Callable[..., Any], key: str, value: Any) -> None:
    """Call it with this argument, and for all others with what none gets to see."""
    parameters = inspect.signature(function).parameters
    needed = {
        name: NEEDED.get(str(each.annotation))
        for name, each in parameters.items()
        if each.default is inspect.Parameter.empty
    }
    function(**{**needed, key: value})


def test_every_annotation_is_checked_here_or_where_it_is_used() -> None:
    others = {
        kind_of(str(parameter.annotation))
        for _, function in functions()
        for parameter in inspect.signature(function).parameters.values()
    }
    assert others - WRONG.keys() - {str(inspect.Parameter.empty)} == USED


def test_all_of_the_public_functions_are_looked_at() -> None:
    assert {
        "classify_maps(drop_labels)", "ClassMaps.to_files(force)", "convert(verify)",
        "edit(dry_run)",
        "convert(dry_run)", "init(seed)", "transplant(strict)", "verify(tolerance)", "diff(text)",
        "PictureOptions.__init__(antialias)", "EngineOptions.__init__(gpu)", "Net.save(force)",
        "EngineOptions.__init__(timeout)", "Settings.__init__(level)", "NetState.__init__(level)",
        "Net.__init__(level)", "ClassMap.to_picture(number)",
        "EmbeddedNet.set_param(index)", "CaffeNet.set_param(index)", "set_max_memory(limit)",
        "open_mapper(drop_labels)", "install_caffe(keep_downloads)", "check(trust_config)",
    } <= set(CASES)  # fmt: skip


def test_which_classes_callers_make() -> None:
    """A class with a flag or a number is of one list or the other."""
    classes = {name for name in ns.__all__ if dataclasses.is_dataclass(getattr(ns, name))}
    classes |= MADE_BY_CALLERS | RETURNED
    numbered = {
        name
        for name in classes
        if any(
            {"bool", "int", "float"} & set(str(each.annotation).split(" | "))
            for each in inspect.signature(getattr(ns, name)).parameters.values()
        )
    }
    assert numbered == MADE_BY_CALLERS | RETURNED


@pytest.mark.parametrize("annotation", RIGHT)
def test_numpys_booleans_and_numbers_become_pythons(annotation: str) -> None:
    for value in RIGHT[annotation]:
        taken = checked_argument("it", value, annotation)
        assert taken == value
        assert type(taken) in (bool, int, float, str)
    assert checked_argument("it", None, f"{annotation} | None") is None


def test_options_hold_pythons_own() -> None:
    options = ns.PictureOptions(antialias=np.False_)  # type: ignore[arg-type]
    assert options.antialias is False
    assert type(ns.NetState(level=np.int64(2)).level) is int
    assert ns.EngineOptions(timeout=2) == ns.EngineOptions(timeout=2.0)


def test_a_long_value_is_one_short_line() -> None:
    with pytest.raises(TypeError) as caught:
        ns.PictureOptions(antialias=np.eye(30))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


def test_a_wrong_classes_argument_of_setup() -> None:
    net = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    blank = np.zeros((32, 32), np.uint8)
    for wrong in (True, [True], [1.5]):
        with pytest.raises(TypeError, match=r"^classes: found .*, expected a whole number or text"):
            ns.setup(*net, blank, wrong, engine="embedded")  # type: ignore[arg-type]


DIGITS = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"


def _by_engine(shape: Any) -> Any:
    with ns.open_engine("embedded") as engine, engine.load(*map(Path, DIGITS)) as net:
        net.reshape({"data": shape})
        return net.inputs["data"]


def _by_blob(shape: Any) -> Any:
    net = ns.Net(*DIGITS)
    net.blobs["data"].reshape(*shape)
    return net.blobs["data"].shape


def _by_net(shape: Any) -> Any:
    net = ns.Net(*DIGITS)
    net.reshape(data=shape)
    return net.blobs["data"].shape


SHAPED: dict[str, Callable[[Any], Any]] = {
    "reshape of an engine": _by_engine,
    "reshape of a blob": _by_blob,
    "reshape of a net": _by_net,
    "input_shapes of Net": (
        lambda shape: ns.Net(*DIGITS, input_shapes={"data": shape}).blobs["data"].shape
    ),
    "input_shapes of inspect": (
        lambda shape: ns.inspect(DIGITS[0], input_shapes={"data": shape}).inputs["data"]
    ),
    "sizes of inspect": lambda shape: ns.inspect(DIGITS[0], sizes={"data": shape}).inputs["data"],
    "NetState": lambda shape: ns.NetState(shapes=(("data", shape),)).shapes[0][1],
    "NetState.at": lambda shape: ns.NetState().at({"data": shape}).shapes[0][1],
    "Net.shapes": lambda shape: ns.Net(*DIGITS).shapes({"data": shape}).blobs["data"],
}


@pytest.mark.parametrize("name", SHAPED)
def test_shapes_are_of_whole_numbers(
    name: str, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo_root)
    for shape in ((2, 1, 32, 32), [2, 1, 32, np.int64(32)], np.array([2, 1, 32, 32])):
        result = SHAPED[name](shape)
        assert result == (2, 1, 32, 32)
        assert {type(size) for size in result} == {int}
    for wrong in ((True, 1, 32, 32), (1, 1, 32.0, 32), ("1", 1, 32, 32), (np.True_, 1, 32, 32)):
        with pytest.raises((ns.NetError, ns.EngineError), match=r"the shape \([^\n]*$"):
            SHAPED[name](wrong)


FILES = ("a.prototxt", "a.caffemodel", "b.prototxt", "b.caffemodel")
PAIRS = r"\(prototxt, weights\), \(prototxt, weights\)"


@pytest.mark.parametrize("name", ["verify", "diff", "transplant"])
def test_files_by_position_as_in_a_command(name: str) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(ns, name)(*FILES)
    assert re.fullmatch(
        rf"{name}: found 4 arguments by position, expected [a-z_, ]+; call it as {name}\({PAIRS}.*",
        str(caught.value),
    )


def test_pictures_by_position_as_in_a_command() -> None:
    several: Any = ns.classify_map
    with pytest.raises(TypeError, match=r"as classify_maps\(\[image, \.\.\.\], settings\)$"):
        several("a.png", "b.png", "c.png")


def test_too_many_of_any_decorated_function() -> None:
    @checks_arguments()
    def plain(flag: bool, *, seed: int = 0) -> int:
        return seed

    assert plain(True, seed=3) == 3
    untyped: Any = plain
    with pytest.raises(TypeError, match=r"plain: found 2 arguments by position, expected flag$"):
        untyped(True, 3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'flag'"):
        untyped()
    with pytest.raises(TypeError, match="unexpected keyword argument 'three'"):
        untyped(True, three=3)


#: What takes values of several forms, and says itself what they are.
SEVERAL_FORMS: dict[str, Callable[[Any], Any]] = {
    "allow": lambda value: ns.EngineOptions(allow=value),
    "channel_swap": lambda value: ns.Settings(channel_swap=value),
    "classes": lambda value: ns.setup(*DIGITS, np.zeros((32, 32)), value, engine="embedded"),
    "diff": lambda value: ns.diff((value, DIGITS[1]), DIGITS),
    "engines": lambda value: ns.verify(DIGITS, DIGITS, engine=(value, "embedded")),
    "input_shapes": lambda value: ns.inspect(DIGITS[0], input_shapes={"data": value}),
    "jobs": lambda value: ns.plan_job(value, None, "new.job"),
    "labels": lambda value: ns.Settings(labels=value),
    "mean": lambda value: ns.Settings(mean=value),
    "net": lambda value: ns.Net(value),
    "scales": lambda value: ns.Scales(value),
    "sizes": lambda value: ns.inspect(DIGITS[0], sizes=value),
    "stages": lambda value: ns.NetState(stages=value),
    "state": lambda value: ns.NetState(shapes=value),
    "transplant": lambda value: ns.transplant((value, DIGITS[1]), DIGITS),
    "verify": lambda value: ns.verify(DIGITS, (value, None)),
}


@pytest.mark.parametrize("name", SEVERAL_FORMS)
def test_values_of_no_form_are_refused_in_words_of_our_own(
    name: str, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo_root)
    for value in (object(), [None], {5j: 5}, np.array(None), [[1], [2, 3]], b"ab", [True]):
        with pytest.raises((TypeError, ns.NetsurgeryError)) as caught:
            SEVERAL_FORMS[name](value)
        assert re.fullmatch(r".*(expected|must|has \d|itera|no input).*", str(caught.value)), value


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have(name: str) -> None:
    takers: list[Callable[[Any], Any]] = [
        ns.Net, ns.upgrade, ns.check, ns.open_job, ns.read_picture, ns.read_settings, ns.Settings,
        lambda name: ns.convert(*DIGITS, name), lambda name: ns.edit(*DIGITS, "ip1[1]=0", name),
    ]  # fmt: skip
    for take in takers:
        with pytest.raises(
            ns.FormatError, match=r"^[a-z_]+: found '.*', expected a.* file's name$"
        ):
            take(name)


def test_a_path_of_another_package(tmp_path: Path) -> None:
    class Other:
        def __fspath__(self) -> str:
            return DIGITS[0]

    path: Any = Other()
    assert ns.inspect(path).name == ns.Net(path).name == "Digits"
    bytes_too: Any = type("", (), {"__fspath__": lambda self: b"net.prototxt"})()
    with pytest.raises(TypeError, match="expected a prototxt or an open net"):
        ns.inspect(bytes_too)


def test_a_name_that_is_too_long(repo_root: Path, tmp_path: Path) -> None:
    """The system refuses to look for it, as it does in a folder that may not be looked into."""
    net, model = (repo_root / name for name in DIGITS)
    long, picture = str(tmp_path / ("x" * 300)), np.eye(32)
    with ns.convert(net, model).net as full_conv:
        takers: list[Callable[[], Any]] = [
            lambda: ns.check(net, long),
            lambda: ns.classify_map(picture, ns.Settings(long, model)),
            lambda: ns.convert(net, model, long, engine="embedded"),
            lambda: ns.evaluate(long, annotations=net, net=full_conv),
            lambda: ns.evaluate(tmp_path, annotations=long, net=full_conv),
            lambda: ns.train_plan(net, model, "plan", annotations=long, images=tmp_path),
            lambda: ns.train_plan(net, model, "plan", annotations=net, images=long),
        ]
        for take in takers:
            with pytest.raises(ns.NetsurgeryError, match=r"x{300}: [^\n]*$"):
                take()
