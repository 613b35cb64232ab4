"""Names that a caller gives, a single one or any iterable of them: one rule in all calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import netsurgery as ns

Names = str | Iterable[str]


def _forward(net: ns.Net, settings: ns.Settings, picture: Path, blobs: Names) -> Any:
    return [name for name in net.forward(blobs=blobs) if name != "prob"]


def _features(net: ns.Net, settings: ns.Settings, picture: Path, blobs: Names) -> Any:
    return list(ns.features(picture, blobs, settings, engine="embedded"))


def _extractor(net: ns.Net, settings: ns.Settings, picture: Path, blobs: Names) -> Any:
    with ns.open_extractor(settings, "embedded", blobs) as extractor:
        return list(extractor.blobs)


def _extractor_itself(net: ns.Net, settings: ns.Settings, picture: Path, blobs: Names) -> Any:
    with ns.open_mapper(settings, "embedded", blob="conv1") as mapper:
        return list(ns.Extractor(mapper, blobs).blobs)


def _export(net: ns.Net, settings: ns.Settings, picture: Path, blobs: Names) -> Any:
    with ns.export_onnx(net, blobs=blobs) as result:
        return list(result.outputs)


def _convert(net: ns.Net, settings: ns.Settings, picture: Path, layers: Names) -> Any:
    with ns.convert(net, layers=layers) as result:
        return [move.layer for move in result.plan.moves]


def _edit(net: ns.Net, settings: ns.Settings, picture: Path, operations: Names) -> Any:
    with ns.edit(net, operations=operations) as result:
        return [step.operation for step in result.steps]


def _stages(net: ns.Net, settings: ns.Settings, picture: Path, stages: Names) -> Any:
    with ns.Net(str(settings.prototxt), stages=stages) as staged:
        return list(staged.view.state.stages)


def _settings(net: ns.Net, settings: ns.Settings, picture: Path, stages: Names) -> Any:
    return list(ns.Settings(stages=stages).stages or ())


CALLS: list[tuple[Callable[..., Any], tuple[str, str]]] = [
    (_forward, ("conv1", "ip1")),
    (_features, ("conv1", "ip1")),
    (_extractor, ("conv1", "ip1")),
    (_extractor_itself, ("conv1", "ip1")),
    (_export, ("conv1", "ip1")),
    (_convert, ("ip1", "ip2")),
    (_edit, ("ip1[1]=0", "ip2[1]=0")),
    (_stages, ("deploy", "night")),
    (_settings, ("deploy", "night")),
]


@pytest.mark.parametrize(("call", "names"), CALLS)
def test_names_are_text_or_any_iterable(
    call: Callable[..., Any], names: tuple[str, str], repo_root: Path
) -> None:
    prototxt = repo_root / "prototxt/digits_deploy.prototxt"
    settings = ns.Settings(prototxt, repo_root / "models/digits/digits.caffemodel")
    picture = repo_root / "examples/digits_canvas.png"
    assert settings.weights is not None
    with ns.Net(prototxt, settings.weights, engine="embedded") as net:
        rest = net, settings, picture
        for iterable in (list(names), names, (name for name in names), dict.fromkeys(names)):
            assert call(*rest, iterable) == list(names)
        assert call(*rest, names[0]) == [names[0]]
        for wrong in (3, [names[0], 3], [None], [Path("x")]):
            with pytest.raises(TypeError, match=r"^[a-z]+: found .*, expected text$"):
                call(*rest, wrong)
