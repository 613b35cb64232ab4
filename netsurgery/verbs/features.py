"""Blobs of a net as dense features of pictures: of one, or of many with the net loaded once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine
from netsurgery.formats.settings import as_settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.features_result import ExtractedFeatures, ImageFeatures
from netsurgery.verbs.picture_results import only, opened_model

if TYPE_CHECKING:
    from netsurgery.formats.presets import PresetName
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.picture_options import AnyPictureOptions
    from netsurgery.open_net.net import Net

__all__ = ["extract_features", "features"]


@checks_arguments()
def features(
    image: AnyPicture,
    blobs: str | Iterable[str],
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: AnyPictureOptions = "net",
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> ImageFeatures:
    """Blob -> its values for a picture, float32 C x H x W, and where its cells lie in it.

    blobs: a blob of the net, or several. image, settings, net, size, preprocess, engine, state: as
    in `classify_map`. The geometry of each, in pixels, is its `geometry()`.
    Raises NetError for a blob that the net does not have, and what `classify_map` raises.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> settings = ns.Settings(net, model)
    >>> blobs = ns.features("examples/digits_canvas.png", "conv1", settings, engine="embedded")
    >>> blobs["conv1"].values.shape
    (16, 28, 28)
    """
    # Unpacking asks for a second picture, whereupon the net is closed.
    (of_image,) = extract_features(
        only(image), blobs, settings, net=net, size=size, preprocess=preprocess, engine=engine,
        state=state,
    )  # fmt: skip
    return of_image


@checks_arguments()
def extract_features(
    images: AnyPicture | Iterable[AnyPicture],
    blobs: str | Iterable[str],
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: AnyPictureOptions = "net",
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> ExtractedFeatures:
    """`features` of many pictures, those of one after another, with the net loaded once.

    images: as in `classify_maps`. blobs, settings, net, size, preprocess, engine, state: as in
    `features`. They come as they are asked for; `to_files` of what is returned writes them, and
    goes on where a picture fails. Raises what `features` raises, at once for what is wrong with the
    net or the settings; the first picture that fails ends it.

    >>> import numpy as np, netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> pictures = np.zeros((3, 28, 28, 1), np.float32)
    >>> taken = ns.extract_features(pictures, "pool1", ns.Settings(net, model), engine="embedded")
    >>> [blobs["pool1"].values.shape for blobs in taken]
    [(16, 14, 14), (16, 14, 14), (16, 14, 14)]
    """
    from netsurgery.maps.features import open_extractor

    with ExitStack() as stack:
        model, engine = opened_model(stack, net, engine)
        settings = as_settings(settings, preprocess)
        extractor = stack.enter_context(
            open_extractor(settings, engine, blobs, size=size, state=state, model=model)
        )
        return ExtractedFeatures(extractor, images, stack.pop_all(), settings.files)
