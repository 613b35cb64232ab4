"""Open nets and results, whichever verb made them: closed, with changed files, with NaN, shown."""

from __future__ import annotations

import html
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netsurgery as ns
from netsurgery.open_net import arrays
from netsurgery.training.evaluation import Evaluation
from netsurgery.training.run_log import RunLog
from netsurgery.verbs.train_result import Training

NET, MODEL, PICTURE = "net.prototxt", "net.caffemodel", "canvas.png"
EMBEDDED = ns.EngineOptions("embedded")

#: Result -> how it is made of files, and of an open net.
SURGERIES: dict[str, tuple[Callable[[], Any], Callable[[ns.Net], Any]]] = {
    "conversion": (
        lambda: ns.convert(NET, MODEL, engine="embedded"),
        lambda net: ns.convert(net, engine="embedded"),
    ),
    "edit": (
        lambda: ns.edit(NET, MODEL, "ip1[1]=0"),
        lambda net: ns.edit(net, operations="ip1[1]=0"),
    ),
    "transplantation": (
        lambda: ns.transplant((NET, MODEL), (NET, None)),
        lambda net: ns.transplant(net, (NET, None)),
    ),
    "export": (lambda: ns.export_onnx(NET, MODEL), ns.export_onnx),
    "initialization": (lambda: ns.init(NET, missing=MODEL), lambda net: ns.init(net)),
    "upgrade": (lambda: ns.upgrade(MODEL), lambda net: ns.upgrade(MODEL)),
}
#: What reads an open net's params and writes none of them.
READERS: dict[str, Callable[[ns.Net], Any]] = {
    "forward": lambda net: net.forward(),
    "verify": lambda net: ns.verify(net, net, engine="embedded"),
    "diff": lambda net: ns.diff(net, net),
    "inspect": lambda net: ns.inspect(net, statistics=True),
    "classify_map": lambda net: ns.classify_map(PICTURE, net=net, blob="conv1"),
    "features": lambda net: ns.features(PICTURE, "conv1", net=net),
    "extract_features": lambda net: list(ns.extract_features([PICTURE], "conv1", net=net)),
}
#: The surgeries that take a net's params, and what else does.
OF_PARAMS = {
    name: of_net
    for name, (_, of_net) in SURGERIES.items()
    if name not in ("initialization", "upgrade")
}
USES: dict[str, Callable[[ns.Net], Any]] = {
    **READERS,
    **OF_PARAMS,
    "onto": lambda net: ns.transplant((NET, MODEL), net),
    "save": lambda net: net.save("new.caffemodel"),
    "changed": lambda net: net.changed(),
    "params": lambda net: net.params["ip1"][0],
    "present_model": lambda net: net.present_model().__enter__(),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(repo_root / "prototxt/digits_deploy.prototxt", NET)
    shutil.copy(repo_root / "models/digits/digits.caffemodel", MODEL)
    shutil.copy(repo_root / "examples/digits_canvas.png", PICTURE)


def opened() -> ns.Net:
    return ns.Net(NET, MODEL, engine="embedded")


def unsaved() -> ns.Net:
    with ns.edit(NET, MODEL, "ip1[1]=0") as result:
        net = result.net
    net.forward(engine=EMBEDDED)
    return net


def changed() -> ns.Net:
    net = opened()
    net.params["ip1"][1][0] += 1
    return net


def grow(path: str = MODEL) -> None:
    with open(path, "ab") as file:
        file.write(b"\0")


def place(result: Any, stem: str) -> str:
    """An output of `save`: for a conversion a folder."""
    return f"{stem}.onnx" if isinstance(result, ns.OnnxExport) else stem


def uses_of(result: Any) -> dict[str, Callable[[], Any]]:
    """What needs the result's inputs."""
    uses: dict[str, Callable[[], Any]] = {}
    for name in ("conversion", "edit", "transplantation", "initialization"):
        if type(result).__name__.lower() == name:
            uses["net"] = lambda: result.net
    if isinstance(result, ns.Conversion):
        uses["verify"] = result.verify
    return {"save": lambda: result.save(place(result, "out")), **uses}


@pytest.mark.parametrize("name", SURGERIES)
def test_a_result_says_what_it_wrote_and_nothing_else(name: str) -> None:
    result = SURGERIES[name][0]()
    unsaved = result.written, str(result), result.to_json()
    Path("taken").write_bytes(b"")
    Path("taken.onnx").write_bytes(b"")
    with pytest.raises(ns.OutputError):
        result.save(place(result, "taken"))
    assert (result.written, str(result), result.to_json()) == unsaved
    assert not result.written
    written = result.save(place(result, "out"))
    saved = written, str(result), result.to_json()
    for refused in (result.save, getattr(result, "plan_outputs", result.save)):
        with pytest.raises(ns.OutputError):
            refused(place(result, "taken/none"))
        assert (result.written, str(result), result.to_json()) == saved
    if hasattr(result, "plan_outputs"):
        fresh = SURGERIES[name][0]()
        for each in (result, fresh):
            each.plan_outputs(place(result, "planned"))
        assert (result.written, str(result)) == ((), unsaved[1])
        assert result.to_json() == fresh.to_json()


@pytest.mark.parametrize("name", SURGERIES)
def test_a_notebook_shows_the_verdict_a_table_and_the_notes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = SURGERIES[name][0]()
    monkeypatch.setattr(type(result), "notes", ("a <note>", "another"))
    shown = result._repr_html_()
    assert shown.startswith(f"<p>{html.escape(str(result))}</p>\n<table>")
    assert shown.endswith("</table>\n<p>a &lt;note&gt;</p><p>another</p>")


@pytest.mark.parametrize("name", SURGERIES)
def test_a_closed_result_says_so_and_still_shows_what_it_was(name: str) -> None:
    result = SURGERIES[name][0]()
    shown = str(result), repr(result), result.to_json(), result._repr_html_()
    result.close()
    result.close()
    for use in uses_of(result).values():
        with pytest.raises(ns.NetError) as caught:
            use()
        assert str(caught.value) == f"the {name} is closed"
    assert shown == (str(result), repr(result), result.to_json(), result._repr_html_())
    assert sorted(os.listdir()) == [PICTURE, MODEL, NET]


@pytest.mark.parametrize("engine", ["embedded", "auto"])
@pytest.mark.parametrize("name", SURGERIES)
def test_a_result_whose_input_changed_says_so(name: str, engine: Any) -> None:
    result = ns.convert(NET, MODEL, engine=engine) if name == "conversion" else SURGERIES[name][0]()
    grow()
    for use in uses_of(result).values():
        with pytest.raises(ns.CaffemodelError) as caught:
            use()
        assert str(caught.value) == f"{MODEL}: has changed since it was opened"
    assert sorted(os.listdir()) == [PICTURE, MODEL, NET]


@pytest.mark.parametrize("name", OF_PARAMS)
def test_a_result_of_a_net_that_was_closed(name: str) -> None:
    with opened() as net:
        result = OF_PARAMS[name](net)
    for use in uses_of(result).values():
        with pytest.raises(ns.NetError) as caught:
            use()
        assert str(caught.value) == f"{NET}: the net is closed"
    with changed() as net:  # its params are the result's own
        result = OF_PARAMS[name](net)
    for use in uses_of(result).values():
        use()


@pytest.mark.parametrize("source", [opened, unsaved, changed])
@pytest.mark.parametrize("name", USES)
def test_a_closed_net_is_closed_for_every_use(name: str, source: Callable[[], ns.Net]) -> None:
    net = source()
    shown = repr(net), net._repr_html_(), repr(net.params), repr(net.blobs)
    net.close()
    with pytest.raises(ns.NetError) as caught:
        USES[name](net)
    assert str(caught.value) == f"{NET}: the net is closed"
    assert shown == (repr(net), net._repr_html_(), repr(net.params), repr(net.blobs))


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize("source", [opened, changed])
@pytest.mark.parametrize("name", USES)
def test_a_net_whose_file_changed_says_so_in_every_use(
    name: str, source: Callable[[], ns.Net], run: bool
) -> None:
    with source() as net:
        if run:
            net.forward()
        grow()
        with pytest.raises(ns.CaffemodelError) as caught:
            USES[name](net)
        assert str(caught.value) == f"{MODEL}: has changed since it was opened"


def test_mappers_and_extractors_are_closed_too() -> None:
    settings = ns.Settings(NET, MODEL)
    with ns.open_mapper(settings, "embedded", blob="conv1") as mapper:
        mapper.map(PICTURE)
    with ns.open_extractor(settings, "embedded", "conv1") as extractor:
        pass
    for use in (mapper.map, extractor.extract):
        with pytest.raises(ns.NetError, match=r"net\.prototxt: the net is closed$"):
            use(PICTURE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_looked_at_and_never_written(value: float) -> None:
    with opened() as net:
        net.params["ip1"][1][3] = value
        writers = [*OF_PARAMS.values(), USES["onto"], USES["save"]]
        for use in writers:
            with pytest.raises(ns.NetError) as caught:
                use(net)
            assert str(caught.value) == (
                "layer 'ip1', param 1: 1 value that became NaN or infinite; nothing is saved"
            )
        for look in READERS.values():
            look(net)
        net.params["ip1"][1][3] = 0
        for use in writers:
            use(net)


@pytest.mark.parametrize("name", [*OF_PARAMS, "onto", "save"])
def test_params_are_compared_with_the_file_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    differ = arrays.bytes_differ

    def counted(*pair: Any) -> bool:
        compared.append(pair)
        return differ(*pair)

    monkeypatch.setattr(arrays, "bytes_differ", counted)
    with changed() as net:
        held = net.params["ip1"][1], net.params["conv1"][0]
        USES[name](net)
    assert len(compared) == len(held)


def results() -> list[Any]:
    """One of every kind that a public function returns and that has JSON or HTML, and the plans."""
    pair = NET, MODEL
    settings = ns.Settings(*pair)
    of_files = [make() for make, _ in SURGERIES.values()]
    features = ns.features(PICTURE, ["conv1", "ip1"], settings, engine="embedded")
    dense = ns.convert(*pair).net
    outputs = {"npy": "map.npy"}
    job = ns.plan_job(PICTURE, settings, "a.job", blob="conv1", outputs=outputs, engine="embedded")
    return [
        *of_files,
        *(result.plan for result in of_files[:3]),
        ns.verify(pair, pair, engine="embedded"),
        ns.verify_tiles(dense, PICTURE, 48, engine="embedded"),
        ns.diff(pair, pair),
        ns.inspect(*pair),
        *(finer := ns.dense(dense, stride=2), finer.plan),
        ns.inspect_param(MODEL, "conv1[0]"),
        ns.draw(*pair),
        ns.check(*pair),
        ns.classify_map(PICTURE, settings, blob="conv1", engine="embedded"),
        ns.classify_map(PICTURE, settings, explain=ns.Occlusion(), engine="embedded"),
        features,
        features["conv1"],
        ns.setup(*pair, np.eye(32), 10, engine="embedded"),
        opened(),
        ns.presets()[1],
        job.resume(workers=1),
        job.merge(),
        job,
        ns.Scales((0.7, 1)),
        *of_training(dense),
    ]


def of_training(dense: ns.Net) -> list[Any]:
    """What the calls about training return; a run of no steps needs no Caffe."""
    name = "2"
    box = {"class": name, "box": [2, 2, 30, 30]}
    shutil.copy(PICTURE, "sheet.png")  # annotations name no file of an odd name
    truth = {"classes": [name], "pictures": [{"file": "sheet.png", "boxes": [box]}]}
    Path("truth.json").write_text(json.dumps(truth))
    plan = ns.train_plan(
        NET, MODEL, "plan", annotations="truth.json", images=".", pictures=0, force=True
    )
    with RunLog(Path("plan"), 0) as log:
        log.add_evaluation(Evaluation(0, np.array([[1, 3], [0, 6]]), 2.0, {"sheet.png": 2.0}))
    return [
        plan,
        ns.train_report("plan"),
        Training("plan", 0, 9, ("background", name), None, None, (), "Caffe"),
        ns.evaluate(".", net=dense, annotations="truth.json", engine="embedded", size="image"),
    ]


@pytest.mark.parametrize("long", [False, True])
def test_every_result_is_one_short_line_in_a_terminal(
    long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, word in (("NET", NET), ("MODEL", MODEL), ("PICTURE", PICTURE)) if long else ():
        odd = "\n\x1b" + 45 * "long" + word
        os.rename(word, odd)
        monkeypatch.setitem(globals(), name, odd)
    shown = results()
    kinds = [getattr(ns, name) for name in ns.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type)]
    of_results = [k for k in kinds if hasattr(k, "to_json") or hasattr(k, "_repr_html_")]
    assert {*of_results} <= {type(result) for result in shown}
    for result in shown:
        text = repr(result)
        assert len(text) <= 120, text
        assert text.isprintable()
        assert " object at 0x" not in text
        assert type(result).__name__ in text
