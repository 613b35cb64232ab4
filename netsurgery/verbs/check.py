"""``netsurgery.check``: all that can be known of a net, and of its weights, without running it.

The net is held against the netsurgery.toml that names it, too: preprocessing and labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from netsurgery.errors import FormatError, NetsurgeryError, PrototxtError, UntrustedError
from netsurgery.formats.found_settings import load_found
from netsurgery.formats.labels import load_labels
from netsurgery.formats.prototxt import Prototxt
from netsurgery.formats.settings import Settings, find_settings
from netsurgery.formats.settings_fit import check_scales
from netsurgery.formats.upgrade.text import TextUpgrade, plan_upgrade
from netsurgery.io.argument_types import checks_arguments
from netsurgery.maps.class_names import ClassNames
from netsurgery.net.effects import effects_of, option
from netsurgery.net.known_fields import check_blobs
from netsurgery.net.net import NetDefinition, Shape
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.shapes import Shapes, unknown_shapes
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.check_engines import embedded_report, stock_report
from netsurgery.verbs.check_result import Check, EngineReport, Finding
from netsurgery.verbs.check_schema import deprecated_findings, schema_findings

__all__ = ["check", "settings_findings", "settings_of"]


@checks_arguments()
def check(
    path: AnyPath,
    weights: AnyPath | None = None,
    *,
    input_shapes: Mapping[str, Shape] | None = None,
    state: NetState = TEST,
    trust_config: bool | None = None,
) -> Check:
    """Everything that can be known of a net, with its weights or without, without running it.

    The result's `findings` are errors (what no Caffe takes), warnings (what only a fork takes and
    is not understood here, shapes that cannot be known) and notes, each with its place; `ok` is
    whether there is no error, `fits` whether the weights fit, `engines` which can run the net and
    why not. Without weights those that netsurgery.toml names for this net are checked.
    input_shapes: blob -> whole shape, (N, C, H, W) for pictures, for inputs whose shapes the net
    does not declare. state: phase, stages and level to read the net in. trust_config: True uses
    that netsurgery.toml even where other users can change it, False never; None reports such a one
    as a warning.

    >>> found = check("prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel")
    >>> print(found)
    prototxt/digits_deploy.prototxt: no error; the weights fit
    >>> found.ok, found.engines["embedded"].runs, found.outputs
    (True, True, {'prob': (1, 11)})

    Raises FormatError, PrototxtError and CaffemodelError for a file that cannot be read at all.
    """
    prototxt, state = Path(path), state.at(input_shapes)
    # A field that is not known is a finding here, and not the end.
    text = Prototxt.read(prototxt, known=False)
    settings, findings = settings_of(prototxt, trust_config)
    model_path = None if weights is None else Path(weights)
    if settings is not None:
        # Weights that the caller names must exist: opening them raises.
        if model_path is None and settings.weights is not None:
            model_path = _existing(settings.weights, settings, findings)
        # A state that the caller names wins over the file's.
        if not (state.stages or state.level or state.phase != TEST.phase):
            state = replace(state, stages=settings.stages or (), level=settings.level or 0)
    upgrade = _upgrade(text, findings)
    net = _net(text, upgrade, state, findings)
    findings = [*schema_findings(text, net), *findings]
    if upgrade is not None:
        findings += deprecated_findings(text, upgrade)
    result = Check(
        prototxt=str(prototxt),
        weights=None if model_path is None else str(model_path),
        settings=None if settings is None else str(settings.path),
        generation=text.generation,
        state=state,
        findings=(),
    )
    if net is None:
        return replace(result, findings=tuple(_without_repeats(findings)))
    with NetWithWeights(net, model_path) as model:
        result = _checked(result, model, findings)
        shapes = _shapes(model)
        if settings is not None:
            findings += settings_findings(settings, net, shapes)
    return replace(result, findings=tuple(_without_repeats(findings)))


def _existing(weights: Path, settings: Settings, findings: list[Finding]) -> Path | None:
    if os.path.exists(weights):
        return weights
    # A finding, since the net can be checked without its weights.
    findings.append(Finding("settings", "error", f"{settings.path}: no file {weights}"))
    return None


def _without_repeats(findings: Sequence[Finding]) -> list[Finding]:
    """The findings without those that repeat, of a place, what the schema has against it."""
    places = {(each.line, each.column) for each in findings if each.kind == "schema" and each.line}
    again = ("structure", "shapes")
    return [
        finding
        for finding in findings
        if finding.kind not in again or (finding.line, finding.column) not in places
    ]


def _upgrade(text: Prototxt, findings: list[Finding]) -> TextUpgrade | None:
    try:
        return plan_upgrade(text)
    except PrototxtError as error:
        findings.append(Finding.of("structure", "error", error))
        return None


def _net(
    text: Prototxt, upgrade: TextUpgrade | None, state: NetState, findings: list[Finding]
) -> NetDefinition | None:
    """The net, whatever is wrong with its blobs; None where it is none."""
    # NetDefinition takes V1 and V2 alone.
    if text.generation == "V0":
        if upgrade is None:
            return None
        text = upgrade.result
    try:
        # Wiring is checked later, where all that is wrong with it is reported.
        return NetDefinition.of(text, state, wired=False)
    except PrototxtError as error:
        findings.append(Finding.of("structure", "error", error))
        return None


def _shapes(model: NetWithWeights) -> Shapes:
    """The shapes, as far as they are known where the net contradicts itself."""
    try:
        return model.shapes
    except NetsurgeryError:
        return Shapes()


def _checked(result: Check, model: NetWithWeights, findings: list[Finding]) -> Check:
    """What is known of the net as a net, its findings added to `findings`."""
    net = model.net
    wiring = list(net.wiring_errors())
    findings += [Finding.of("structure", "error", error) for error in wiring]
    findings += [Finding("structure", "note", note) for note in net.notes]
    findings += _counts(net)
    # Shapes are not inferred: each after such a bottom would be unknown for the same reason.
    if wiring:
        return replace(result, engines=_none_runs(*wiring))
    try:
        shapes = model.shapes
    except NetsurgeryError as error:
        findings.append(Finding.of("shapes", "error", error))
        return replace(result, engines=_none_runs(error))
    findings += [Finding("shapes", "warning", str(each)) for each in unknown_shapes(shapes)]
    findings += _unread(net)
    findings += _effects(net)
    fits = None
    if model.has_weights:
        params = list(_params(model))
        if reason := model.another_net():
            findings.insert(0, Finding("params", "error", reason))  # it explains those after it
        findings += params
        # Notes are of params that Caffe skips.
        fits = not any(finding.level == "error" for finding in params)
    return replace(
        result,
        inputs={each.name: shapes.blobs.get(each.name) for each in net.inputs},
        outputs={blob: shapes.blobs.get(blob) for blob in net.outputs},
        fits=fits,
        engines={
            "embedded": embedded_report(net, shapes, fits),
            "Caffe 1.0": stock_report(model, findings, fits),
        },
    )


def _counts(net: NetDefinition) -> Iterator[Finding]:
    """Layers with bottoms or tops that their types do not take."""
    for layer in net.layers:
        try:
            check_blobs(layer)
        except PrototxtError as error:
            yield Finding.of("structure", "error", error, layer.name)


def _none_runs(*errors: NetsurgeryError) -> dict[str, EngineReport]:
    """No engine runs a net with these errors."""
    report = EngineReport(False, tuple(map(str, errors)))
    return {"embedded": report, "Caffe 1.0": report}


def _effects(net: NetDefinition) -> Iterator[Finding]:
    """What layers do to files and modules when Caffe runs them, and the option that lets them."""
    for each in effects_of(net):
        if each.known:
            words = option([effect.value for effect in each.effects])
            what = each.layer.error(f"{each.does}; real Caffe is given it only with {words}")
            yield Finding.of("effects", "note", what, each.layer.name)


def _unread(net: NetDefinition) -> Iterator[Finding]:
    """Tops that nobody reads, but for those of the last layer."""
    last = net.layers[-1] if net.layers else None
    for blob in net.outputs:
        maker = net.last_writer(blob)
        if maker is None and net.layers:
            yield Finding("structure", "warning", f"input {blob!r} is read by no layer")
        # The last layer's tops are what the net is run for.
        elif maker is not None and maker is not last:
            yield Finding(
                "structure",
                "note",
                f"top {blob!r} of layer {maker.name!r} ({maker.type}) is read by no layer: it is "
                "an output of the net",
                maker.name,
            )


def _params(model: NetWithWeights) -> Iterator[Finding]:
    """How the weights do not fit."""
    where = model.path
    for name in model.fit.missing:
        yield Finding("params", "error", f"{where}: no params for layer {name!r}", name)
    for name, mismatch in model.fit.mismatches.items():
        for reason in mismatch.reasons(where):
            yield Finding("params", "error", f"layer {name!r}: {reason}", name)
    for name in model.extra:
        what = f"{where}: params of a layer {name!r}, which the net does not have; Caffe skips them"
        yield Finding("params", "note", what, name)
    try:
        model.check_unchanged()
    except FormatError as error:
        yield Finding.of("params", "error", error)


def settings_of(prototxt: Path, trust_config: bool | None) -> tuple[Settings | None, list[Finding]]:
    """The settings that are of this net, and what is wrong with the file.

    Those are of the nearest netsurgery.toml in its folder or above, if it names this net, or none
    and lies beside it.
    """
    # Standard input lies in no folder, and so beside no netsurgery.toml.
    if str(prototxt) == "-" or trust_config is False:
        return None, []
    path = find_settings(prototxt.absolute().parent)
    if path is None:
        return None, []
    # Resolved, since either may be reached by a link.
    beside = path.parent.resolve() == prototxt.absolute().parent.resolve()
    try:
        settings = load_found(path, trust_config)
    except UntrustedError as error:
        return None, [Finding.of("settings", "warning", error)]
    except FormatError as error:
        # One further up that cannot be read may be of other nets.
        return None, [Finding.of("settings", "error", error)] if beside else []
    if settings.prototxt is None:
        return (settings if beside else None), []
    return (settings if settings.prototxt.resolve() == prototxt.resolve() else None), []


def settings_findings(settings: Settings, net: NetDefinition, shapes: Shapes) -> list[Finding]:
    """What does not fit: the mean and the channels' order, the classes."""
    reasons = [_preprocessing(settings, net, shapes), ("error", _classes(settings, net, shapes))]
    return [
        Finding("settings", level, f"{settings.path}: {what}") for level, what in reasons if what
    ]


def _preprocessing(settings: Settings, net: NetDefinition, shapes: Shapes) -> tuple[str, str]:
    """What is wrong, or to be known, of the mean, the channels' order and the scales."""
    keys = (settings.mean, settings.channel_swap, settings.raw_scale, settings.input_scale)
    if all(value is None for value in keys):
        return "", ""
    settings = replace(settings, path=None)  # which the finding names
    try:
        check_scales(settings)
    except NetsurgeryError as error:
        return "error", str(error)
    inputs = [shapes.blobs.get(each.name) or () for each in net.inputs]
    images = [shape for shape in inputs if len(shape) == 4]
    if not images:
        return "", ""
    # The transformer needs numpy, which most checks do not.
    from netsurgery.maps.from_settings import make_transformer

    _, channels, height, width = images[0]
    try:
        note = make_transformer(settings, channels).mean_for((height, width))[1]
    except NetsurgeryError as error:
        return "error", str(error)
    return "note", note or ""


def _classes(settings: Settings, net: NetDefinition, shapes: Shapes) -> str:
    """What is wrong of the labels, and of the background that may be named by one."""
    if settings.labels is None and settings.background is None:
        return ""
    known = {blob: shape for blob in net.outputs if len(shape := shapes.blobs.get(blob, ())) > 1}
    # Where labels fit no output the error names the last, which classify-map takes by default.
    blob, classes = next(((blob, shape[1]) for blob, shape in reversed(known.items())), ("", None))
    try:
        labels = None if settings.labels is None else load_labels(settings.labels)
        fits = labels is None or any(shape[1] == len(labels) for shape in known.values())
        if labels is not None and classes is not None and not fits:
            labels.check(classes, blob)
        if settings.background is not None:
            count = classes if labels is None else len(labels)
            ClassNames(count, labels, blob).find_background(settings.background)
    except NetsurgeryError as error:
        return str(error)
    return ""
