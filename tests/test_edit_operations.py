"""The registries of edit: every operation, and every value that a param can be set to."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import netsurgery as ns
from netsurgery.cli.edit import command
from netsurgery.errors import SurgeryError
from netsurgery.net.net import NetDefinition
from netsurgery.surgery.edit import operations, values
from netsurgery.surgery.edit.operations import OPERATIONS, Argument, Operation
from netsurgery.surgery.edit.syntax import Assignment, NamedOperation, parse_operation
from netsurgery.surgery.edit.values.record import Value
from netsurgery.surgery.edit.values.registry import GROUPS, VALUES
from netsurgery.verbs.edit import edit

LAYER = 'layer {{ name: "{0}" type: "{1}" bottom: "{2}" top: "{0}" {3} }}\n'


def net(channels: int, *, fork: bool = False, size: int = 3) -> str:
    """A net that an example of every operation fits: of color, of grey, with a fork's BatchNorm."""
    shape = f"input_param {{ shape {{ dim: [1, {channels}, 16, 16] }} }}"
    conv = "convolution_param {{ num_output: {} kernel_size: {} bias_term: false "
    conv += 'weight_filler {{ type: "gaussian" std: 1 }} }}'
    norm, own = ("BN", "bn_param { frozen: true }") if fork else ("BatchNorm", "")
    return (
        f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n'
        + LAYER.format("conv1", "Convolution", "data", conv.format(4, size))
        + LAYER.format("bn1", norm, "conv1", own)
        + LAYER.format("scale1", "Scale", "bn1", "scale_param { bias_term: true }")
        + LAYER.format("conv2", "Convolution", "scale1", conv.format(12, 3))
        + LAYER.format("fc8", "InnerProduct", "conv2", "inner_product_param { num_output: 3 }")
    )


NETS = {"color": net(3), "grey": net(1), "fork": net(3, fork=True), "wide": net(3, size=5)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in NETS.items():
        Path(f"{name}.prototxt").write_text(text)
        ns.init(f"{name}.prototxt", f"{name}.caffemodel", seed=2)
    return tmp_path


def run(word: str) -> dict[str, Any]:
    """What the operation changes in the first of the nets that it can be done to."""
    refused: dict[str, str] = {}
    for name in NETS:
        try:
            with edit(f"{name}.prototxt", f"{name}.caffemodel", word) as result:
                result.net.close()
                (record,) = result.to_json()["operations"]
                if record["params"] or record["saved"]:
                    return dict(record)
                refused[name] = "nothing changed"
        except SurgeryError as error:
            refused[name] = str(error)
    raise AssertionError(refused)


def refusal(word: str) -> str:
    with pytest.raises(SurgeryError) as caught:
        edit("color.prototxt", "color.caffemodel", word)
    return str(caught.value)


def modules(package: Any) -> set[str]:
    return {path.stem for path in Path(package.__file__).parent.glob("*.py")}


def test_every_module_is_registered() -> None:
    registered = {each.apply.__module__.rsplit(".", 1)[-1] for each in OPERATIONS.values()}
    assert registered == modules(operations) - {"__init__", "record"}
    for module in registered:
        defined = importlib.import_module(f"{operations.__name__}.{module}").OPERATIONS
        assert set(defined) <= set(OPERATIONS.values())
    functions = [getattr(value.compute, "func", value.compute) for value in VALUES]
    registered = {function.__module__.rsplit(".", 1)[-1] for function in functions}
    assert registered == modules(values) - {"__init__", "record", "registry", "assign"}
    assert sum(map(len, GROUPS.values())) == len(VALUES)


@pytest.mark.parametrize("entry", [*OPERATIONS.values(), *VALUES], ids=lambda entry: entry.name)
def test_help_and_reference_have_it(entry: Operation | Value, repo_root: Path) -> None:
    text = (repo_root / "docs" / "commands.md").read_text()
    assert command.help is not None
    for source in (command.help, text):
        flat = " ".join(source.split())
        for form in entry.forms:
            assert form.syntax.startswith(entry.name)
            assert form.help.endswith(".")
            assert f"{form.syntax} {form.help}" in flat
        assert f"e.g. {'conv1[0]=' * isinstance(entry, Value)}{entry.example}" in flat


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.name)
def test_an_operation(operation: Operation, repo_root: Path) -> None:
    color = NetDefinition.read("color.prototxt")
    parsed = parse_operation(operation.example, color)
    assert isinstance(parsed, NamedOperation)
    assert parsed.operation is operation
    record = run(operation.example)
    check(record, repo_root)
    assert record["name"] == operation.name
    assert record["operation"] == operation.example
    assert bool(record["fields"] or record["layers"]) is operation.structural
    wrong = f"{operation.name}:no=such"
    assert refusal(wrong).startswith(f"{wrong}: ")
    assert "\n" not in refusal(wrong)
    bare = operation.name
    if operation.argument is Argument.REQUIRED:
        assert refusal(bare).startswith(f"{bare}: {bare} needs an argument after a colon")
    assert refusal(f"{bare}:") == (
        f"{bare}:: {bare} needs an argument after a colon, as in {operation.example}"
        if operation.argument is Argument.REQUIRED
        else f"{bare}:: nothing after {bare}:"
    )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_a_value(value: Value, repo_root: Path) -> None:
    word = f"conv1[0]={value.example}"
    assert isinstance(parse_operation(word, NetDefinition.read("color.prototxt")), Assignment)
    record = run(word)
    check(record, repo_root)
    assert record["name"] == "="
    (param,) = record["params"]
    assert (param["layer"], param["index"]) == ("conv1", 0)
    assert param["shape"] == param["new_shape"]
    assert param["changed"] > 0
    assert (param["seed"] is None) is ("seed" not in value.options)
    wrong = f"conv1[0]={value.name}:no=1"
    assert refusal(wrong).startswith(f"{wrong}: ")
    assert "\n" not in refusal(wrong)


def check(record: dict[str, Any], repo_root: Path) -> None:
    """The record is what the schema says."""
    schema = json.loads((repo_root / "docs" / "json" / "edit.schema.json").read_text())
    whole = {"operations": [record], "notes": [], "weights": None, "prototxt": None, "saved": [],
             "dry_run": False}  # fmt: skip
    Draft202012Validator(schema).validate(json.loads(json.dumps(whole)))
