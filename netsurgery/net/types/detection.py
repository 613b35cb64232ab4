"""Types that detectors have: regions pooled, boxes laid out, and what picks the boxes to give."""

from __future__ import annotations

from collections.abc import Callable

from netsurgery.io.wording import counted
from netsurgery.net.layer import Layer, Shape
from netsurgery.net.types.elementwise import no_edges
from netsurgery.net.types.fields import as_image, free, images, scalars
from netsurgery.net.types.naming import by_text
from netsurgery.net.types.prior_boxes import priors
from netsurgery.net.types.record import (
    MANY,
    NO_EFFECTS,
    NO_PARAMS,
    Channels,
    Count,
    Effects,
    InPlace,
    InputSource,
    LayerType,
    Result,
    Role,
    ShapeRule,
    Signs,
    Space,
    Values,
)

__all__ = ["TYPES", "regions"]


def _detecting(
    name: str,
    message: str | None,
    shapes: ShapeRule,
    *,
    origin: str,
    fields: tuple[str, ...],
    bottoms: Count | Callable[[Layer], Count],
    tops: Count,
    roles: tuple[Role, ...],
    space: Space,
    channels: Channels,
    values: Values,
    effects: Effects | Callable[[Layer], Effects] = NO_EFFECTS,
    training: bool = False,
    runs: bool,
) -> LayerType:
    return LayerType(
        name=name,
        aliases=(),
        origin=origin,
        message=message,
        fields=fields,
        shapes=shapes,
        bottoms=bottoms,
        tops=tops,
        roles=roles,
        in_place=InPlace.LOSES,
        space=space,
        window=None,
        field=None,
        edges=no_edges,
        channels=channels,
        values=values,
        signs=Signs.ANY,
        source=InputSource.NONE,
        effects=effects,
        params=NO_PARAMS,
        layout=None,
        affine=None,
        multiply_adds=free,
        training=training,
        runs=runs,
    )


def regions(layer: Layer) -> tuple[int, int]:
    """Rows and columns that a region is pooled to."""
    message = layer.param(_REGIONS[layer.type])
    # The schema's default is 0, which roi_pooling_layer.cpp refuses.
    if not (message.all("pooled_h") and message.all("pooled_w")):
        raise layer.error("pooled_h or pooled_w is missing")
    return message.integer("pooled_h", 0, 1), message.integer("pooled_w", 0, 1)


_REGIONS = {"ROIAlign": "roi_align_param", "ROIPooling": "roi_pooling_param"}
_REGION_FIELDS = ("pooled_h", "pooled_w", "spatial_scale")


def _regions(layer: Layer, bottoms: list[Shape]) -> Result:
    """One picture for each region."""
    channels, size = images(layer, bottoms[0])[1], regions(layer)
    return [(_count(layer, bottoms[1]), channels, *size)], []


def _count(layer: Layer, boxes: Shape) -> int:
    """How many regions the second bottom has: rows of a picture's number and two corners."""
    count, width = as_image(layer, boxes)[:2]
    if width != 5:
        raise layer.error(f"its second bottom has rows of {width}; expected 5 numbers a region")
    return count


def _position_sensitive(layer: Layer, bottoms: list[Shape]) -> Result:
    message = layer.param("psroi_pooling_param")
    for name in ("output_dim", "group_size", "spatial_scale"):
        if not message.all(name):
            raise layer.error(f"{name} is missing")
    outputs, size = message.integer("output_dim", 0, 1), message.integer("group_size", 0, 1)
    channels = images(layer, bottoms[0])[1]
    if channels != outputs * size**2:
        raise layer.error(
            f"{counted(channels, 'channel')}; expected {outputs * size**2}, "
            "output_dim x group_size^2"
        )
    return [(_count(layer, bottoms[1]), outputs, size, size)], []


def _prior_box(layer: Layer, bottoms: list[Shape]) -> Result:
    """Four numbers a box, in one row the boxes and in another their variances."""
    height, width = as_image(layer, bottoms[0])[2:]
    # The picture, of which only the size is read.
    as_image(layer, bottoms[1])
    return [(1, 2, height * width * len(priors(layer).boxes) * 4)], []


def _by_values(layer: Layer, bottoms: list[Shape]) -> Result:
    """How many rows the tops have is for the numbers themselves to say."""
    return [None] * len(layer.tops), []


def _smooth_l1(layer: Layer, bottoms: list[Shape]) -> Result:
    """The loss; and, as R-FCN's second top, one for each place."""
    (batch, channels, height, width) = as_image(layer, bottoms[0])
    for shape in bottoms[1:]:
        if as_image(layer, shape)[1:] != (channels, height, width):
            raise layer.error(f"its bottoms differ in shape: {bottoms[0]} and {shape}")
    return [(), (batch, 1, height, width)][: len(layer.tops)], []


_PRIOR_FIELDS = (
    *("min_size", "max_size", "aspect_ratio", "flip", "clip", "variance", "img_size"),
    *("img_h", "img_w", "step", "step_h", "step_w", "offset"),
)
_DETECTION_FIELDS = (
    *("num_classes", "share_location", "background_label_id", "nms_param", "save_output_param"),
    *("code_type", "variance_encoded_in_target", "keep_top_k", "confidence_threshold"),
    *("visualize", "visualize_threshold", "save_file"),
)
_MULTIBOX_FIELDS = (
    *("loc_loss_type", "conf_loss_type", "loc_weight", "num_classes", "share_location"),
    *("match_type", "overlap_threshold", "use_prior_for_matching", "background_label_id"),
    *("use_difficult_gt", "do_neg_mining", "neg_pos_ratio", "neg_overlap", "code_type"),
    *("encode_variance_in_target", "map_object_to_agnostic", "ignore_cross_boundary_bbox"),
    *("bp_inside", "mining_type", "nms_param", "sample_size", "use_prior_for_nms"),
)
#: Of caffe-windows and of Synopsys: in either what the tops hold is for the numbers to say.
_PROPOSAL_FIELDS = (
    *("feat_stride", "base_size", "min_size", "ratio", "scale", "pre_nms_topn", "post_nms_topn"),
    *("nms_thresh", "anchor_base_size", "anchor_scale", "anchor_ratio", "max_rois"),
    *("rpn_min_size", "rpn_nms_thresh"),
)
_REGION_LOSS_FIELDS = (
    *("side", "num_class", "bias_match", "coords", "num", "softmax", "jitter", "rescore"),
    *("object_scale", "class_scale", "noobject_scale", "coord_scale", "absolute", "thresh"),
    *("random", "biases", "softmax_tree", "class_map"),
)
_YOLO_OUTPUT = (
    "side",
    "num_classes",
    "num_box",
    "coords",
    "confidence_threshold",
    "nms_threshold",
    "biases",
    "label_map_file",
)
_YOLO3_OUTPUT = (
    "num_classes",
    "num_box",
    "confidence_threshold",
    "nms_threshold",
    "biases",
    "anchors_scale",
    "mask_group_num",
    "mask",
    "gaussian_box",
)

TYPES = (
    _detecting(
        "DetectionOutput",
        "detection_output_param",
        _by_values,
        origin="SSD",
        fields=_DETECTION_FIELDS,
        bottoms=(3, 4),
        tops=(1, 1),
        roles=(Role.VALUE,),
        space=Space.WHOLE,
        channels=Channels.MIXING,
        values=Values.HIDDEN,
        effects=by_text,
        runs=False,
    ),
    _detecting(
        "MultiBoxLoss",
        "multibox_loss_param",
        scalars,
        origin="SSD",
        fields=_MULTIBOX_FIELDS,
        bottoms=(4, 4),
        tops=(0, 1),
        roles=(Role.VALUE, Role.VALUE, Role.VALUE, Role.LABEL),
        space=Space.WHOLE,
        channels=Channels.MIXING,
        values=Values.HIDDEN,
        training=True,
        runs=False,
    ),
    _detecting(
        "PSROIPooling",
        "psroi_pooling_param",
        _position_sensitive,
        origin="R-FCN",
        fields=("spatial_scale", "output_dim", "group_size"),
        bottoms=(2, 2),
        tops=(1, 1),
        roles=(Role.VALUE, Role.INDEX),
        space=Space.MIXING,
        channels=Channels.MIXING,
        values=Values.CHANGED,
        runs=False,
    ),
    _detecting(
        "PriorBox",
        "prior_box_param",
        _prior_box,
        origin="SSD",
        fields=_PRIOR_FIELDS,
        bottoms=(2, 2),
        tops=(1, 1),
        roles=(Role.SIZE,),
        space=Space.NOWHERE,
        channels=Channels.NONE,
        values=Values.NONE,
        runs=True,
    ),
    _detecting(
        "Proposal",
        "proposal_param",
        _by_values,
        origin="caffe-windows",
        fields=_PROPOSAL_FIELDS,
        bottoms=(3, 3),
        tops=(1, 2),
        roles=(Role.VALUE, Role.VALUE, Role.INDEX),
        space=Space.WHOLE,
        channels=Channels.MIXING,
        values=Values.HIDDEN,
        runs=False,
    ),
    _detecting(
        "ROIAlign",
        "roi_align_param",
        _regions,
        origin="Synopsys Caffe",
        fields=_REGION_FIELDS,
        bottoms=(2, 2),
        tops=(1, 1),
        roles=(Role.VALUE, Role.INDEX),
        space=Space.MIXING,
        channels=Channels.ALIKE,
        values=Values.HIDDEN,
        runs=False,
    ),
    _detecting(
        "ROIPooling",
        "roi_pooling_param",
        _regions,
        origin="R-FCN",
        fields=_REGION_FIELDS,
        bottoms=(2, 2),
        tops=(1, 1),
        roles=(Role.VALUE, Role.INDEX),
        space=Space.MIXING,
        channels=Channels.ALIKE,
        values=Values.HIDDEN,
        runs=True,
    ),
    _detecting(
        "RegionLoss",
        "region_loss_param",
        scalars,
        origin="Caffe YOLO",
        fields=_REGION_LOSS_FIELDS,
        bottoms=(2, 2),
        tops=(0, 1),
        roles=(Role.VALUE, Role.LABEL),
        space=Space.WHOLE,
        channels=Channels.MIXING,
        values=Values.HIDDEN,
        effects=by_text,
        training=True,
        runs=False,
    ),
    _detecting(
        "SmoothL1Loss",
        "smooth_l1_loss_param",
        _smooth_l1,
        origin="R-FCN",
        fields=("sigma",),
        bottoms=(2, 3),
        tops=(0, 2),
        roles=(Role.VALUE, Role.LABEL, Role.GATE),
        space=Space.JOINING,
        channels=Channels.ALIKE,
        values=Values.HIDDEN,
        training=True,
        runs=False,
    ),
    _detecting(
        "YoloDetectionOutput",
        "yolo_detection_output_param",
        _by_values,
        origin="MobileNet-YOLO",
        fields=_YOLO_OUTPUT,
        bottoms=(1, 1),
        tops=(1, 1),
        roles=(Role.VALUE,),
        space=Space.WHOLE,
        channels=Channels.MIXING,
        values=Values.HIDDEN,
        effects=by_text,
        runs=False,
    ),
    _detecting(
        "Yolov3DetectionOutput",
        "yolov3_detection_output_param",
        _by_values,
        origin="MobileNet-YOLO",
        fields=_YOLO3_OUTPUT,
        bottoms=(1, MANY),
        tops=(1, 1),
        roles=(Role.VALUE,),
        space=Space.WHOLE,
        channels=Channels.MIXING,
        values=Values.HIDDEN,
        runs=False,
    ),
)
