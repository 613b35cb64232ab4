"""From a picture to a class map, or to dense features, in one call.

For many pictures hold `open_mapper`'s or `open_extractor`'s result open: the net is loaded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netsurgery.engines.contract import EngineOptions
from netsurgery.formats.settings import as_settings
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath

if TYPE_CHECKING:
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.features import Features
    from netsurgery.maps.image import Picture

__all__ = ["classify_map", "features"]


def classify_map(
    image: AnyPath | Picture,
    settings: Settings | AnyPath,
    *,
    size: tuple[int, int] | None = None,
    blob: str | None = None,
    fit: str = "warp",
    antialias: bool = True,
    engine: EngineOptions | None = None,
    state: NetState = TEST,
) -> ClassMap:
    """A class for every window of a picture.

    settings: a netsurgery.toml (`convert` writes one), or what it would say: model and
    preprocessing. size: (height, width) in pixels that the net's input is made, None for what the
    prototxt declares. blob: the one that holds the map (default: the last layer's top); labels that
    are more or fewer than its classes are left out where it is given. fit: "warp", "crop" or
    "pad". antialias: smooth before shrinking, as caffe.io does today. engine: what runs the net,
    real Caffe by default where there is one that knows it. state: the phase and the shapes to read
    the net in; the settings' stages and level win over its own.

    The map's `values` are float32 C x H x W, probabilities 0..1 where a Softmax made them.
    Raises SettingsError, ImageError, MeanError, PrototxtError, NetError, EngineError.
    """
    from netsurgery.maps.mapper import open_mapper

    given = as_settings(settings)
    chosen = engine or EngineOptions()
    drop = blob is not None
    with open_mapper(
        given, chosen, blob=blob, fit=fit, antialias=antialias, drop_labels=drop, state=state
    ) as mapper:
        return mapper.map(_read(image), mapper.net.size if size is None else size)


def features(
    image: AnyPath | Picture,
    blobs: Sequence[str],
    settings: Settings | AnyPath,
    *,
    size: tuple[int, int] | None = None,
    fit: str = "warp",
    antialias: bool = True,
    engine: EngineOptions | None = None,
    state: NetState = TEST,
) -> dict[str, Features]:
    """Blob -> its values for a picture, float32 C x H x W, and where its cells lie in it.

    blobs: names of the net's blobs. settings, size, fit, antialias, engine, state: as in
    `classify_map`. The geometry of each, in pixels, is its `geometry()`. Raises NetError for a
    blob that the net has not, and what `classify_map` raises.
    """
    from netsurgery.maps.features import open_extractor

    if isinstance(blobs, str):
        blobs = [blobs]
    given = as_settings(settings)
    chosen = engine or EngineOptions()
    with open_extractor(
        given, chosen, blobs, fit=fit, antialias=antialias, state=state
    ) as extractor:
        declared = extractor.mapper.net.size
        found = extractor.extract(_read(image), declared if size is None else size)
    return {one.blob: one for one in found}


def _read(image: AnyPath | Picture) -> Picture:
    from netsurgery.maps.image import Picture, read_picture

    return image if isinstance(image, Picture) else read_picture(str(image))
