"""The notebook's last cell as a script: a picture's class map, printed. It draws nothing.

    python notebook_map.py FULL_CONV.prototxt FULL_CONV.caffemodel MEAN PICTURE

MEAN is three numbers with commas between. Runs under Caffe's own Python, 2.7 or 3.
"""

import sys

import caffe  # type: ignore[import-not-found]
import numpy as np
import skimage.io  # type: ignore[import-not-found]


def load_image(path):
    # type: (str) -> object
    """What caffe.io.load_image does; with a scikit-image of 2020 or later that one fails."""
    return skimage.img_as_float(skimage.io.imread(path)).astype(np.float32)


def open_net(full_conv, model, mean):
    # type: (str, str, str) -> tuple[caffe.Net, caffe.io.Transformer]
    """The net, and what prepares pictures for it."""
    caffe.set_mode_cpu()
    net = caffe.Net(full_conv, model, caffe.TEST)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_mean("data", np.array([float(value) for value in mean.split(",")]))
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255.0)
    return net, transformer


def print_map(net, transformer, picture):
    # type: (caffe.Net, caffe.io.Transformer, str) -> None
    blob = transformer.preprocess("data", load_image(picture))
    out = net.forward_all(data=np.asarray([blob]))
    print(out["prob"][0].argmax(axis=0))


def main(full_conv, model, mean, picture):
    # type: (str, str, str, str) -> None
    net, transformer = open_net(full_conv, model, mean)
    print_map(net, transformer, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
