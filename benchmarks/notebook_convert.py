"""The notebook's conversion as a script: load both nets, transplant, save.

    python notebook_convert.py DEPLOY.prototxt FULL_CONV.prototxt MODEL.caffemodel OUT.caffemodel

Runs under Caffe's own Python, 2.7 or 3. The prototxt of the fully convolutional net has to be
there already, as the notebook's was.
"""

import sys

import caffe  # type: ignore[import-not-found]

MOVES = [("fc6", "fc6-conv"), ("fc7", "fc7-conv"), ("fc8", "fc8-conv")]


def main(deploy, full_conv, model, out):
    # type: (str, str, str, str) -> None
    caffe.set_mode_cpu()
    classifier = caffe.Net(deploy, model, caffe.TEST)
    dense = caffe.Net(full_conv, model, caffe.TEST)
    for old, new in MOVES:
        dense.params[new][0].data.flat = classifier.params[old][0].data.flat
        dense.params[new][1].data[...] = classifier.params[old][1].data
    dense.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
