"""An open net of a model that is in memory alone, as surgeries make one."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import model_layer, write_hdf5, write_model

import netsurgery as ns
from netsurgery.net.net import NetDefinition
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.scratch_model import ScratchModel, changed_model
from netsurgery.net.write_weights import ModelChange
from netsurgery.surgery.edit.plan import plan_edit

NET = """\
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 } }
"""
WEIGHT = np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2)
BIAS = np.array([1, 2, 3], np.float32)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a net, and the empty folder of its temporary files."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    write_model(Path("net.caffemodel"), model_layer("conv", "Convolution", WEIGHT, BIAS))
    write_hdf5(Path("net.h5"), conv=[WEIGHT, BIAS])
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def edited(weights: str, *operations: str) -> ns.Net:
    """The net as it is after an edit that writes no file."""
    with NetWithWeights.open("net.prototxt", weights) as model:
        plan = plan_edit(model, operations)
        change = ModelChange(plan.new, plan.changes, plan.added)
        return ns.Net.of_model(changed_model(model, change))


@pytest.mark.parametrize("weights", ["net.caffemodel", "net.h5"])
def test_what_an_edit_leads_to_is_an_open_net(weights: str, temporary: Path) -> None:
    with edited(weights, "conv[1]+=1", "outputs:conv:drop=0") as net:
        assert net.params["conv"].shapes == ((2, 2, 2, 2), (2,))
        assert net.params["conv"][1].tolist() == [3, 4]
        assert repr(net) == "<Net '': net.prototxt, unsaved weights>"
        net.params["conv"][0][...] = 7
        assert net.changed() == ["conv"]
        net.save("new.caffemodel", "new.prototxt")
        held = net.params["conv"][0]
    assert not list(temporary.iterdir())
    assert held.max() == 7
    with ns.Net("new.prototxt", "new.caffemodel") as net:
        assert net.params["conv"][0].min() == 7
        assert net.params["conv"][1].tolist() == [3, 4]


def test_its_file_is_private_and_goes_with_the_net(temporary: Path) -> None:
    net = edited("net.caffemodel", "conv[1]=0")
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    del net
    gc.collect()
    assert not list(temporary.iterdir())


def test_a_net_that_cannot_be_written_leaves_nothing(temporary: Path) -> None:
    def fail(_: object) -> None:
        raise ns.SurgeryError("no")

    with pytest.raises(ns.SurgeryError, match="no"):
        ScratchModel(NetDefinition.read("net.prototxt"), fail)
    assert not list(temporary.iterdir())


def test_a_missing_layer_is_named_without_the_temporary_file() -> None:
    with edited("net.caffemodel", "conv[1]=0") as net, pytest.raises(ns.NetError) as caught:
        _ = net.params["data"]
    assert str(caught.value).startswith("unsaved weights: no params for layer 'data'")


def test_the_present_params_as_a_model(temporary: Path) -> None:
    """For what reads a file of weights: the net's own file, unless it says something else."""
    with ns.Net("net.prototxt", "net.caffemodel") as net:
        with net.present_model() as model:
            assert model.path == "net.caffemodel"
        net.params["conv"][1][2] = 8
        with net.present_model() as model:
            assert model.stored["conv"].blobs[1].numpy().tolist() == [1, 2, 8]
            assert list(temporary.iterdir())
        assert not list(temporary.iterdir())
        assert net.params["conv"][1].tolist() == [1, 2, 8]
        with net.present_model() as model, ns.Net.of_model(model) as copy:
            assert copy.changed() == []
            assert copy.params["conv"][1].tolist() == [1, 2, 8]


def test_open_nets_are_verified_and_compared(temporary: Path) -> None:
    files = ("net.prototxt", "net.caffemodel")
    with ns.Net(*files) as net, ns.Net("net.prototxt") as bare:
        assert ns.verify(net, files, engine="embedded").same
        assert ns.diff(files, net).same
        net.params["conv"][1][1] += 1
        assert not ns.verify(files, net, engine="embedded").same
        (changed,) = [each for each in ns.diff(net, files).params if each.status != "equal"]
        assert (changed.layer, changed.index) == ("conv", 1)
        assert ns.diff(net, net).same
        (conv,) = [each for each in ns.inspect(net, statistics=True).layers if each.params]
        assert (conv.params, conv.statistics[1].max) == (((3, 2, 2, 2), (3,)), 3)
        assert conv.statistics[1].mean == pytest.approx(7 / 3)
        assert ns.inspect(bare).weights is None
        assert ns.diff(bare, "net.prototxt", text=True).text == ""
        assert not list(temporary.iterdir())
        with pytest.raises(ns.NetError, match="a net can be compared with a net, weights with"):
            ns.diff(net, bare)
        with pytest.raises(
            TypeError, match=r"found 'net.prototxt', expected \(prototxt, weights\)"
        ):
            ns.verify(net, "net.prototxt")  # type: ignore[arg-type]
    with edited("net.caffemodel", "outputs:conv:drop=0") as cut:
        assert "num_output" in str(ns.diff(files, cut, text=True).text)


#: What numpy would convert: text is read, imaginary parts are dropped, objects are asked.
NO_REAL_NUMBERS: list[Any] = [
    ["1"] * 16, np.ones(16, complex), [object()] * 16, [[1], [2, 3]], None, np.zeros(16, "M8[s]"),
]  # fmt: skip


@pytest.mark.parametrize("values", NO_REAL_NUMBERS)
def test_params_and_inputs_take_real_numbers_alone(values: Any, repo_root: Path) -> None:
    with ns.Net(
        repo_root / "prototxt/digits_deploy.prototxt", repo_root / "models/digits/digits.caffemodel"
    ) as net:
        before = net.params["conv1"][1].copy()
        for take in (
            lambda: net.params["conv1"].__setitem__(1, values),
            lambda: setattr(net.params["conv1"][1], "flat", values),
            lambda: net.forward(data=values),
        ):
            with pytest.raises(ns.NetsurgeryError, match=r"expected numbers|inhomogeneous"):
                take()
        assert net.params["conv1"][1].tobytes() == before.tobytes()
        unknown: Any = 5
        for look in (
            lambda: net.blobs[unknown],
            lambda: net.params[unknown],
            lambda: net.forward({unknown: 1}),
        ):
            with pytest.raises(ns.NetError, match=r"(no|for) (blob|layer|input) 5"):
                look()
