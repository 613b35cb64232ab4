"""The fields that Caffe's layers have, and the refusal of those they have not.

Real Caffe refuses a net with a field it does not know. Here a prototxt is read with all its
fields, and to run it as if the unknown ones (``pad_l``, ``relu: true``) were not there would give
other numbers than the fork that knows them.
"""

from __future__ import annotations

from netsurgery.formats.textformat import Field
from netsurgery.net import types
from netsurgery.net.layer import Layer

__all__ = ["FIELDS", "check_fields", "unknown_fields"]

#: The message with a layer's parameters -> its fields in Caffe 1.0; and ceil_mode, a fork's.
FIELDS: dict[str, str] = {
    "argmax_param": "out_max_val top_k axis",
    "batch_norm_param": "use_global_stats moving_average_fraction eps",
    "bias_param": "axis num_axes filler",
    "clip_param": "min max",
    "concat_param": "axis concat_dim",
    "convolution_param": """
        num_output bias_term pad kernel_size stride dilation pad_h pad_w kernel_h kernel_w
        stride_h stride_w group weight_filler bias_filler engine axis force_nd_im2col
    """,
    "crop_param": "axis offset",
    "dropout_param": "dropout_ratio",
    "dummy_data_param": "data_filler shape num channels height width",
    "eltwise_param": "operation coeff stable_prod_grad",
    "elu_param": "alpha",
    "embed_param": "num_output input_dim bias_term weight_filler bias_filler",
    "exp_param": "base scale shift",
    "flatten_param": "axis end_axis",
    "inner_product_param": "num_output bias_term weight_filler bias_filler axis transpose",
    "log_param": "base scale shift",
    "lrn_param": "local_size alpha beta norm_region k engine",
    "mvn_param": "normalize_variance across_channels eps",
    "parameter_param": "shape",
    "pooling_param": """
        pool pad pad_h pad_w kernel_size kernel_h kernel_w stride stride_h stride_w engine
        global_pooling round_mode ceil_mode
    """,
    "power_param": "power scale shift",
    "prelu_param": "filler channel_shared",
    "recurrent_param": "num_output weight_filler bias_filler debug_info expose_hidden",
    "reduction_param": "operation axis coeff",
    "relu_param": "negative_slope engine",
    "reshape_param": "shape axis num_axes",
    "scale_param": "axis num_axes filler bias_term bias_filler",
    "sigmoid_param": "engine",
    "slice_param": "axis slice_point slice_dim",
    "softmax_param": "engine axis",
    "spp_param": "pyramid_height pool engine",
    "swish_param": "beta",
    "tanh_param": "engine",
    "threshold_param": "threshold",
    "tile_param": "axis tiles",
}


def check_fields(layer: Layer) -> None:
    """Raise PrototxtError, with its place, for a field that the type's definition does not have."""
    for field in unknown_fields(layer):
        raise layer.message.source.error(
            f"layer {layer.name!r} ({layer.type}): {types.message_of(layer)} has a field "
            f"{field.name}, which is not known and may change all that is behind it; take it out "
            "if it changes nothing",
            field.start,
        )


def unknown_fields(layer: Layer) -> tuple[Field, ...]:
    """The fields of the layer's own message that its definition does not have.

    The definition is Caffe 1.0's, or that of the fork that has the layer's type. Empty for a type
    that is known to neither.
    """
    record = types.of(layer)
    if record is None or record.message is None:
        return ()
    if record.origin == types.STOCK and record.message not in FIELDS:
        return ()
    known = {*FIELDS.get(record.message, "").split(), *record.fields}
    return tuple(field for field in layer.param(record.message).fields if field.name not in known)
