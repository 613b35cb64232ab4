"""What settings name, ready to be used: the net with its weights, and what makes pictures ready."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine, EngineOptions, as_engine_options
from netsurgery.errors import SettingsError
from netsurgery.formats.labels import Labels, load_labels
from netsurgery.formats.settings import SETTINGS_NAME, Settings, as_settings
from netsurgery.formats.settings_fit import check_pixels, file_named, loaded_mean
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.unreadable import check_file
from netsurgery.io.wording import argument
from netsurgery.maps.picture_options import AnyPictureOptions, PictureOptions, as_picture_options
from netsurgery.maps.transformer import Transformer
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.net.state import TEST, NetState

if TYPE_CHECKING:
    from netsurgery.maps.box_rules import BoxRules
    from netsurgery.maps.explain import Explain
    from netsurgery.maps.map_source import MapSource
    from netsurgery.maps.mapper import Mapper
    from netsurgery.maps.scales import AnyScales

__all__ = ["check_model", "make_transformer", "open_mapper", "open_model"]


def open_model(settings: Settings, state: NetState) -> NetWithWeights:
    """The net and the weights to use, in `state` with what the settings say of it.

    Raises SettingsError where either is missing; PrototxtError, FormatError.
    """
    prototxt, weights = check_model(settings)
    return NetWithWeights.open(prototxt, weights, _state_of(settings, state))


def check_model(settings: Settings) -> tuple[Path, Path]:
    """The prototxt and the weights to use. Raises SettingsError where either is missing."""
    if settings.prototxt is None or settings.weights is None:
        missing = [name for name in ("prototxt", "weights") if getattr(settings, name) is None]
        options = " and ".join(argument(f"--{name} FILE") for name in missing)
        raise SettingsError(
            f"no {' and no '.join(missing)} to use: give {options}, or run where there is a "
            f"{SETTINGS_NAME} (`netsurgery convert` writes one)"
        )
    if os.path.isfile(settings.prototxt):  # else that is said when it is read
        check_file(settings.weights, "a caffemodel", SettingsError)
    return settings.prototxt, settings.weights


def make_transformer(
    settings: Settings, channels: int, options: PictureOptions | None = None
) -> Transformer:
    """What makes pictures ready as `settings` say, for an input of `channels` (1 or 3) channels.

    Raises MeanError, and SettingsError for a preset or a channel swap that does not fit.
    """
    mean = loaded_mean(settings)
    check_pixels(settings, channels, mean)
    return Transformer(
        channels=channels,
        mean=mean,
        raw_scale=settings.raw_scale,
        channel_swap=settings.channel_swap,
        input_scale=settings.input_scale,
        options=options or PictureOptions(),
    )


def _state_of(settings: Settings, state: NetState) -> NetState:
    """The state in which the net of `settings` is used: their stages and level, else `state`'s."""
    level = state.level if settings.level is None else settings.level
    stages = state.stages if settings.stages is None else tuple(settings.stages)
    return replace(state, level=level, stages=stages)


@checks_arguments()
def open_mapper(
    settings: Settings | str | Path,
    engine: AnyEngine = "auto",
    *,
    blob: str | None = None,
    size: AnyPictureOptions = "net",
    stride: int | None = None,
    scales: AnyScales | None = None,
    boxes: BoxRules | None = None,
    box_scales: Iterable[float] = (1.0,),
    explain: Explain | None = None,
    drop_labels: bool = False,
    state: NetState = TEST,
    model: NetWithWeights | None = None,
) -> Mapper:
    """A mapper for the model and preprocessing of `settings`; no engine is started yet.

    settings, engine, blob, size, stride, scales, boxes, box_scales, explain, state: as in
    `classify_map`. drop_labels: leave out labels that are more or fewer than the blob's classes, as
    those of a netsurgery.toml are for any blob but the one they were meant for; else they are an
    error. model: an open net and weights, instead of those that the settings name; the caller
    closes it after the mapper.

    Raises SettingsError without prototxt or weights, and what is wrong with any of the files:
    PrototxtError, NetError, MeanError, FormatError for labels that do not fit the blob.

    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with open_mapper(Settings(net, model), "embedded", blob="conv1") as mapper:
    ...     mapper.map("examples/digits_canvas.png").shape
    (28, 28)
    """
    from netsurgery.maps.map_source import MapSource
    from netsurgery.maps.mapper import Mapper

    settings = as_settings(settings)
    if explain is not None:
        from netsurgery.maps.explain import refuse_with

        refuse_with(explain, stride=stride, scales=scales, boxes=boxes)
        return _open_explainer(
            explain, settings, as_engine_options(engine, settings.engine),
            model or open_model(settings, state), blob, as_picture_options(size), drop_labels,
        )  # fmt: skip
    source = MapSource.of_map(model or open_model(settings, state), blob)
    transformer = make_transformer(settings, source.channels, as_picture_options(size))
    labels = _fitting_labels(settings, source, drop_labels)
    options = as_engine_options(engine, settings.engine)
    if stride is not None:
        from netsurgery.maps.stitch import Stitch

        Stitch.of(source, source.size, stride)  # which refuses a stride that cannot be
    several = None
    if scales is not None:
        from netsurgery.maps.scales import as_scales, check_on_one_grid

        several = as_scales(scales)
        check_on_one_grid(source)
    search = None
    if boxes is not None:
        from netsurgery.maps.box_rules import box_search

        search = box_search(boxes, box_scales)
    # Without the labels that it was meant for, a background named by one means nothing.
    background = None if settings.labels and labels is None else settings.background
    with file_named(settings, "background"):
        return Mapper(
            source, transformer, options, window=settings.window, labels=labels,
            background=background, stride=stride, scales=several, boxes=search,
        )  # fmt: skip


def _open_explainer(
    explain: Explain,
    settings: Settings,
    engine: EngineOptions,
    model: NetWithWeights,
    blob: str | None,
    size: PictureOptions,
    drop_labels: bool,
) -> Mapper:
    from netsurgery.maps.explain import GradCam
    from netsurgery.maps.map_source import MapSource

    source = MapSource.of_classes(model, blob)
    transformer = make_transformer(settings, source.channels, size)
    labels = _fitting_labels(settings, source, drop_labels)
    if isinstance(explain, GradCam):
        from netsurgery.maps.grad_cam import GradCamExplainer

        return GradCamExplainer(source, transformer, engine, explain, labels)
    from netsurgery.maps.occlusion import OcclusionExplainer

    return OcclusionExplainer(source, transformer, engine, explain, labels)


def _fitting_labels(settings: Settings, source: MapSource, drop: bool) -> Labels | None:
    labels = None if settings.labels is None else load_labels(settings.labels)
    if labels is None or source.classes is None or len(labels) == source.classes:
        return labels
    if not drop:
        labels.check(source.classes, source.blob)
    return None
