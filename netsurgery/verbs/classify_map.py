"""A class for every window of a picture: of one, or of many with the net loaded once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from netsurgery.engines.contract import AnyEngine
from netsurgery.formats.settings import as_settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.wording import argument
from netsurgery.net.state import TEST, NetState
from netsurgery.open_net.arguments import AnyPath
from netsurgery.verbs.classify_map_result import ClassMaps
from netsurgery.verbs.picture_results import only, opened_model

if TYPE_CHECKING:
    from netsurgery.formats.presets import PresetName
    from netsurgery.formats.settings import Settings
    from netsurgery.maps.any_picture import AnyPicture
    from netsurgery.maps.box_rules import BoxRules
    from netsurgery.maps.classmap import ClassMap
    from netsurgery.maps.explain import Explain
    from netsurgery.maps.picture_options import AnyPictureOptions
    from netsurgery.maps.scales import AnyScales
    from netsurgery.open_net.net import Net

__all__ = ["classify_map", "classify_maps"]


@checks_arguments("classify_maps([image, ...], settings)")
def classify_map(
    image: AnyPicture,
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: AnyPictureOptions = "net",
    stride: int | None = None,
    scales: AnyScales | None = None,
    boxes: BoxRules | None = None,
    box_scales: Iterable[float] = (1.0,),
    explain: Explain | None = None,
    blob: str | None = None,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> ClassMap:
    """A class for every window of a picture.

    image: a path, a Pillow image, the bytes of a file, a binary file, or an array, H x W or H x W x
    1, 3 or 4, of uint8 or of floats 0..1. settings: a netsurgery.toml (`convert` writes one), or
    what it would say: model and preprocessing. net: an open net instead of the model that the
    settings name; its present params count. size: of the net's input, "net" (what the prototxt
    declares), "image" (the picture's own) or (height, width) in pixels, one number for a square; or
    PictureOptions, which say too how the picture is fitted to it. stride: from one cell to the next
    in pixels of the input, a divisor of the net's own total stride, for a finer map: the net is run
    over the input moved by each multiple of it, which takes that many times longer (`dense` writes
    a net that does it in one run, where it can). scales: of the input, or Scales: the net is run
    over the picture at each of them, and the map is their mean at the windows of one, 1 if it is
    among them. boxes: look for boxes, the windows of cells that are sure of a class, by these
    rules; the map has them. No box is of the class that is named as the background. box_scales:
    factors of the input's size at which they are looked for, together. explain: `Occlusion` or
    `GradCam`: not a map of windows but of what each place of the picture does for the score of a
    class, of a net that gives one score a class; an `Explanation`. blob: the one that holds the
    map, or the scores (default: the last layer's top); labels that are more or fewer than its
    classes are dropped where a blob is named. preprocess: a preset, such as "bvlc" (`presets` has
    them all), in the place of the settings' own preprocessing. engine: what runs the net, "auto"
    (the open net's own engine, or real Caffe where there is one that knows the net), "caffe",
    "embedded" or EngineOptions. state: the phase and the shapes to read the net in; the settings'
    stages and level win over its own.

    The map's `values` are float32 C x H x W, probabilities 0..1 where a Softmax made them.
    Raises SettingsError, ImageError (which is a TypeError too for what is not a picture),
    MeanError, PrototxtError, NetError, EngineError.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> conversion = ns.convert(net, model, "converted", engine=ns.EngineOptions("embedded"))
    >>> settings = conversion.paths.settings
    >>> class_map = ns.classify_map("examples/digits_canvas.png", settings, engine="embedded")
    >>> class_map.argmax().shape
    (8, 8)
    >>> with ns.convert(net, model).net as open_net:  # before anything is written
    ...     ns.classify_map("examples/digits_canvas.png", net=open_net, engine="embedded").shape
    (8, 8)
    """
    (class_map,) = classify_maps(
        only(image), settings, net=net, size=size, stride=stride, scales=scales, boxes=boxes,
        box_scales=box_scales, explain=explain, blob=blob, preprocess=preprocess, engine=engine,
        state=state,
    )  # fmt: skip
    return class_map


@checks_arguments()
def classify_maps(
    images: AnyPicture | Iterable[AnyPicture],
    settings: Settings | AnyPath | None = None,
    *,
    net: Net | None = None,
    size: AnyPictureOptions = "net",
    stride: int | None = None,
    scales: AnyScales | None = None,
    boxes: BoxRules | None = None,
    box_scales: Iterable[float] = (1.0,),
    explain: Explain | None = None,
    blob: str | None = None,
    drop_labels: bool | None = None,
    preprocess: PresetName | None = None,
    engine: AnyEngine = "auto",
    state: NetState = TEST,
) -> ClassMaps:
    """`classify_map` of many pictures, one map after another, with the net loaded once.

    images: an iterable of what `classify_map` takes, an array N x H x W x C, or one picture. It is
    asked for at most five pictures beyond the one whose map comes next, as files are read while the
    net runs; arrays and streams are read in their turn. settings, net, size, stride, scales, boxes,
    box_scales, explain, blob, preprocess, engine, state: as in `classify_map`. drop_labels: whether
    labels that are more or fewer than the classes are dropped, with a note, or an error; None to
    drop them where a blob is named.

    The maps come as they are asked for; `to_files` of what is returned writes them, and goes on
    where a picture fails. Raises what `classify_map` raises, at once for what is wrong with the net
    or the settings; the first picture that fails ends it.

    >>> import numpy as np, netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> pictures = np.zeros((3, 28, 28, 1), np.float32)
    >>> maps = ns.classify_maps(pictures, ns.Settings(net, model), blob="conv1", engine="embedded")
    >>> [class_map.shape for class_map in maps]
    [(28, 28), (28, 28), (28, 28)]
    """
    from netsurgery.maps.from_settings import open_mapper

    drop = blob is not None if drop_labels is None else drop_labels
    with ExitStack() as stack:
        model, engine = opened_model(stack, net, engine)
        settings = as_settings(settings, preprocess)
        mapper = stack.enter_context(open_mapper(
            settings, engine, blob=blob, size=size, stride=stride, scales=scales, boxes=boxes,
            box_scales=box_scales, explain=explain, drop_labels=drop, state=state, model=model,
        ))  # fmt: skip
        notes = []
        if settings.labels is not None and mapper.labels is None:
            named = settings.labels
            what = "the labels do" if isinstance(named, tuple) else f"{named} does"
            notes.append(f"{what} not fit blob {mapper.source.blob!r}: left out")
        if boxes is not None and mapper.background is None:
            notes.append(
                "no class of the net is said to be the background "
                f"({argument('--background')}): every class gives boxes"
            )
        return ClassMaps(mapper, images, stack.pop_all(), settings.files, notes)
