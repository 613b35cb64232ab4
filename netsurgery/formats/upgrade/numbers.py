"""Field numbers of layers through the generations, for the upgrade of binary nets."""

from __future__ import annotations

__all__ = ["PARAM_NUMBERS", "SPEC_NUMBERS", "V0_NUMBERS", "V1_NUMBERS", "V2_NUMBERS"]

#: V0LayerParameter: field -> number.
V0_NUMBERS = {
    **{"name": 1, "type": 2, "num_output": 3, "biasterm": 4, "weight_filler": 5},
    **{"bias_filler": 6, "pad": 7, "kernelsize": 8, "group": 9, "stride": 10, "pool": 11},
    **{"dropout_ratio": 12, "local_size": 13, "alpha": 14, "beta": 15, "k": 22, "source": 16},
    **{"scale": 17, "meanfile": 18, "batchsize": 19, "cropsize": 20, "mirror": 21, "blobs": 50},
    **{"blobs_lr": 51, "weight_decay": 52, "rand_skip": 53, "det_fg_threshold": 54},
    **{"det_bg_threshold": 55, "det_fg_fraction": 56, "det_context_pad": 58},
    **{"det_crop_mode": 59, "new_num": 60, "new_channels": 61, "new_height": 62},
    **{"new_width": 63, "shuffle_images": 64, "concat_dim": 65, "hdf5_output_param": 1001},
}

#: V1LayerParameter: field -> number. "layer" is the V0 layer inside.
V1_NUMBERS = {
    **{"layer": 1, "bottom": 2, "top": 3, "name": 4, "type": 5, "blobs": 6, "blobs_lr": 7},
    **{"weight_decay": 8, "concat_param": 9, "convolution_param": 10, "data_param": 11},
    **{"dropout_param": 12, "hdf5_data_param": 13, "hdf5_output_param": 14},
    **{"image_data_param": 15, "infogain_loss_param": 16, "inner_product_param": 17},
    **{"lrn_param": 18, "pooling_param": 19, "window_data_param": 20, "power_param": 21},
    **{"memory_data_param": 22, "argmax_param": 23, "eltwise_param": 24, "threshold_param": 25},
    **{"dummy_data_param": 26, "accuracy_param": 27, "hinge_loss_param": 29, "relu_param": 30},
    **{"slice_param": 31, "include": 32, "exclude": 33, "mvn_param": 34, "loss_weight": 35},
    **{"transform_param": 36, "tanh_param": 37, "sigmoid_param": 38, "softmax_param": 39},
    **{"contrastive_loss_param": 40, "exp_param": 41, "loss_param": 42, "param": 1001},
    "blob_share_mode": 1002,
}

#: LayerParameter: field -> number, of the fields that V1 has too, and `param`.
V2_NUMBERS = {
    **{"name": 1, "type": 2, "bottom": 3, "top": 4, "loss_weight": 5, "param": 6, "blobs": 7},
    **{"include": 8, "exclude": 9, "transform_param": 100, "loss_param": 101},
    **{"accuracy_param": 102, "argmax_param": 103, "concat_param": 104},
    **{"contrastive_loss_param": 105, "convolution_param": 106, "data_param": 107},
    **{"dropout_param": 108, "dummy_data_param": 109, "eltwise_param": 110, "exp_param": 111},
    **{"hdf5_data_param": 112, "hdf5_output_param": 113, "hinge_loss_param": 114},
    **{"image_data_param": 115, "infogain_loss_param": 116, "inner_product_param": 117},
    **{"lrn_param": 118, "memory_data_param": 119, "mvn_param": 120, "pooling_param": 121},
    **{"power_param": 122, "relu_param": 123, "sigmoid_param": 124, "softmax_param": 125},
    **{"slice_param": 126, "tanh_param": 127, "threshold_param": 128, "window_data_param": 129},
    "input_param": 143,
}

#: ParamSpec.
SPEC_NUMBERS = {"name": 1, "share_mode": 2, "lr_mult": 3, "decay_mult": 4}

#: Message of parameters -> the numbers of those of its fields that an upgrade fills.
PARAM_NUMBERS = {
    "concat_param": {"concat_dim": 1},
    "convolution_param": {
        **{"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5},
        **{"stride": 6, "weight_filler": 7, "bias_filler": 8},
    },
    "data_param": {
        **{"source": 1, "scale": 2, "mean_file": 3, "batch_size": 4, "crop_size": 5},
        **{"mirror": 6, "rand_skip": 7},
    },
    "dropout_param": {"dropout_ratio": 1},
    "hdf5_data_param": {"source": 1, "batch_size": 2},
    "image_data_param": {
        **{"source": 1, "scale": 2, "mean_file": 3, "batch_size": 4, "crop_size": 5},
        **{"mirror": 6, "rand_skip": 7, "shuffle": 8, "new_height": 9, "new_width": 10},
    },
    "infogain_loss_param": {"source": 1},
    "inner_product_param": {
        **{"num_output": 1, "bias_term": 2, "weight_filler": 3, "bias_filler": 4},
    },
    "lrn_param": {"local_size": 1, "alpha": 2, "beta": 3, "k": 5},
    "pooling_param": {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4},
    "transform_param": {"scale": 1, "mirror": 2, "crop_size": 3, "mean_file": 4},
    "window_data_param": {
        **{"source": 1, "scale": 2, "mean_file": 3, "batch_size": 4, "crop_size": 5},
        **{"mirror": 6, "fg_threshold": 7, "bg_threshold": 8, "fg_fraction": 9},
        **{"context_pad": 10, "crop_mode": 11},
    },
}
