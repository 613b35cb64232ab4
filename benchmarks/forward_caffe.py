"""Forwards of one net in pycaffe, timed by themselves: a process that waits for requests.

    python forward_caffe.py NET.prototxt MODEL.caffemodel N,C,H,W

Each line on standard input is a number of forwards to run one after another; the answer is the
seconds that they took. Runs under Caffe's own Python, 2.7 or 3.
"""

import sys
import time

import caffe  # type: ignore[import-not-found]
import numpy as np


def main(prototxt, model, sizes):
    # type: (str, str, str) -> None
    caffe.set_mode_cpu()
    net = caffe.Net(prototxt, model, caffe.TEST)
    shape = [int(size) for size in sizes.split(",")]
    net.blobs["data"].reshape(*shape)
    net.reshape()
    pixels = np.random.RandomState(0).uniform(-120, 130, shape).astype(np.float32)
    clock = getattr(time, "perf_counter", time.time)
    print("ready")
    sys.stdout.flush()
    for line in iter(sys.stdin.readline, ""):
        started = clock()
        for _ in range(int(line)):
            net.blobs["data"].data[...] = pixels
            net.forward()
            np.array(net.blobs["prob"].data)
        print(clock() - started)
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
