"""The notebook's last cell over many pictures, as a script: their class maps, printed.

    python notebook_maps.py FULL_CONV.prototxt FULL_CONV.caffemodel MEAN LIST

MEAN is three numbers with commas between, LIST a file that names a picture a line. Runs under
Caffe's own Python, 2.7 or 3.
"""

import sys

import caffe  # type: ignore[import-not-found]
import numpy as np
from notebook_map import load_image  # type: ignore[import-not-found]


def main(full_conv, model, mean, pictures):
    # type: (str, str, str, str) -> None
    caffe.set_mode_cpu()
    net = caffe.Net(full_conv, model, caffe.TEST)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_mean("data", np.array([float(value) for value in mean.split(",")]))
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255.0)
    with open(pictures) as names:
        for name in names.read().split():
            blob = transformer.preprocess("data", load_image(name))
            out = net.forward_all(data=np.asarray([blob]))
            print(out["prob"][0].argmax(axis=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
