"""The fields that Caffe's layers have, and the refusal of those they have not.

Real Caffe refuses a net with a field it does not know. Here a prototxt is read with all its
fields, and to run it as if the unknown ones (``pad_l``, ``relu: true``) were not there would give
other numbers than the fork that knows them.
"""

from __future__ import annotations

from netsurgery.formats.textformat import Field
from netsurgery.net.net import Layer, Net

__all__ = ["FIELDS", "check_fields", "field_of", "suspect", "unknown_fields"]

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

#: The same of the layers that common forks have and Caffe 1.0 has not.
_OF_FORKS: dict[str, str] = {
    "interp_param": "height width zoom_factor shrink_factor pad_beg pad_end",
    "norm_param": "across_spatial scale_filler channel_shared eps",
    "permute_param": "order",
    "shuffle_channel_param": "group",
    "upsample_param": "scale scale_h scale_w pad_out_h pad_out_w upsample_h upsample_w",
}
_MESSAGE_OF_FORKS_TYPE = {
    "Interp": "interp_param",
    "Normalize": "norm_param",
    "Permute": "permute_param",
    "ShuffleChannel": "shuffle_channel_param",
    "Upsample": "upsample_param",
}

#: Types whose message is not called as they are.
_FIELD_OF = {
    "Deconvolution": "convolution_param",
    "DepthwiseConvolution": "convolution_param",
    "Im2col": "convolution_param",
    "LSTM": "recurrent_param",
    "RNN": "recurrent_param",
}
_BY_TYPE = {name.removesuffix("_param").replace("_", ""): name for name in FIELDS}


def field_of(kind: str) -> str | None:
    """The name of the message with the parameters of a layer of this type; None for none."""
    return _FIELD_OF.get(kind) or _BY_TYPE.get(kind.lower())


def check_fields(layer: Layer) -> None:
    """Raise PrototxtError, with its place, for a field that Caffe's layer has not."""
    found = _unknown(layer)
    if found is not None:
        raise layer.message.source.error(
            f"layer {layer.name!r} ({layer.type}): {field_of(layer.type)} has a field "
            f"{found.name}, which Caffe 1.0 does not know, nor what it changes; take it out if "
            "that is nothing",
            found.start,
        )


def suspect(net: Net, name: str) -> str:
    """Who else may be to blame where layer `name` does not fit: "; ..." to end a message, or "".

    That is a field that Caffe 1.0 does not know, of the layer or of one that it depends on; the
    shapes were told as if it were not there.
    """
    wanted: set[str] = set()
    blame = ""
    for layer in reversed(net.layers):
        if layer.name != name and not wanted.intersection(layer.tops):
            continue
        wanted.update(layer.bottoms)
        found = _unknown(layer)
        if found is not None:
            line = layer.message.source.error("", found.start).line
            blame = (
                f"; layer {layer.name!r} (line {line}) has a field {found.name}, which Caffe 1.0 "
                "does not know and which may change that shape"
            )
    return blame


def unknown_fields(layer: Layer) -> tuple[Field, ...]:
    """The fields of the layer's own message that its definition does not have.

    The definition is Caffe 1.0's, or that of the fork that has the layer's type. Empty for a type
    that is known to neither.
    """
    name = field_of(layer.type) or _MESSAGE_OF_FORKS_TYPE.get(layer.type)
    if name is None:
        return ()
    known = (FIELDS.get(name) or _OF_FORKS[name]).split()
    return tuple(field for field in layer.param(name).fields if field.name not in known)


def _unknown(layer: Layer) -> Field | None:
    """The first field that Caffe's layer has not."""
    return next(iter(unknown_fields(layer)), None) if field_of(layer.type) else None
