"""The records of layer types: complete, consistent with each other and with what runs them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parity.configurations import TRIALS
from parity.conformance import Trial, prototxt
from parity.fork_configurations import FORK_TRIALS

from netsurgery.errors import NetsurgeryError
from netsurgery.export.layers import CONVERTERS
from netsurgery.formats.prototxt import Prototxt
from netsurgery.net import types
from netsurgery.net.cost import costs
from netsurgery.net.edges import edge_effects
from netsurgery.net.field import fields
from netsurgery.net.known_fields import unknown_fields
from netsurgery.net.net import Layer, NetDefinition
from netsurgery.net.order import bottom_orders, last_orders
from netsurgery.net.shapes import infer
from netsurgery.net.types.record import Channels, InPlace, LayerType, Role, Space, Values

KINDS = sorted(types.RECORDS)
ALL_TRIALS = {**TRIALS, **FORK_TRIALS}
TABLES = Path(__file__).parent.parent / "docs" / "type_tables.py"


def test_the_tables_of_types_in_the_docs_are_current() -> None:
    """Every answer of every record is in them: `make types-table` writes them."""
    spec = importlib.util.spec_from_file_location("type_tables", TABLES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.current(), "docs/formats.md is not what the records say: make types-table"


def test_no_answer_has_a_default() -> None:
    assert all(field.default is dataclasses.MISSING for field in dataclasses.fields(LayerType))


def test_names_are_given_once() -> None:
    names = [name for each in types.RECORDS.values() for name in (each.name, *each.aliases)]
    assert len(names) == len(set(names))
    assert all(types.record(name) is not None for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_type_runs_if_and_only_if_it_has_a_converter(kind: str) -> None:
    record = types.RECORDS[kind]
    assert record.runs == (kind in CONVERTERS or record is types.INPUT)


def test_every_converter_is_of_a_known_type() -> None:
    assert set(CONVERTERS) <= set(types.RECORDS)


def trial_layer(trial: Trial) -> tuple[NetDefinition, Layer]:
    net = NetDefinition.of(Prototxt.parse(prototxt(trial)))
    return net, net.layers[-1]


@pytest.mark.parametrize("kind", sorted(ALL_TRIALS))
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_records_answers_agree_with_each_other(kind: str, data: st.DataObject) -> None:
    """On what both engines run: shapes, params, counts and fields of one and the same layer."""
    net, layer = trial_layer(data.draw(ALL_TRIALS[kind]))
    shapes = infer(net)
    assert set(layer.tops) <= set(shapes.blobs)
    assert unknown_fields(layer) == ()
    params = types.params(layer)
    assert params is not None
    assert len(params) == len(shapes.params_of(layer))
    known = types.counts(layer)
    assert known is not None
    assert known[0][0] <= len(layer.bottoms) <= known[0][1]
    assert known[1][0] <= len(layer.tops) <= known[1][1]
    assert len(types.roles(layer)) == len(layer.bottoms)
    assert Role.UNKNOWN not in types.roles(layer)
    assert types.space(layer) is not Space.UNKNOWN
    assert types.channels(layer) is not Channels.UNKNOWN
    assert types.values(layer) is not Values.UNKNOWN
    assert costs(net, shapes)[-1].multiply_adds is not None
    if layer.in_place:
        assert types.in_place(layer) is not InPlace.LOSES


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_bottoms_and_tops_is_answered_or_refused(kind: str) -> None:
    """What a type does not take may be in a text all the same."""
    shape = "input_shape { dim: [1, 4, 6, 6] } "
    inputs = "".join(f'input: "{name}" {shape}' for name in "abc")
    for bottoms, tops in itertools.product(range(4), range(4)):
        blobs = "".join(f'bottom: "{name}" ' for name in "abc"[:bottoms])
        blobs += "".join(f'top: "{name}" ' for name in "xyz"[:tops])
        message = "convolution_param { num_output: 4 kernel_size: 1 }"
        message += " pooling_param { kernel_size: 2 } inner_product_param { num_output: 3 }"
        text = f'{inputs} layer {{ name: "l" type: "{kind}" {blobs} {message} }}'
        with contextlib.suppress(NetsurgeryError):
            net = NetDefinition.of(Prototxt.parse(text))
            shapes = infer(net)
            costs(net, shapes)
            fields(net)
            bottom_orders(net, shapes)
            last_orders(net, shapes)
            for blob in "xyz"[:tops]:
                edge_effects(net, shapes, blob)
