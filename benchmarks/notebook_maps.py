"""The notebook's last cell over many pictures, as a script: their class maps, printed.

    python notebook_maps.py FULL_CONV.prototxt FULL_CONV.caffemodel MEAN LIST

MEAN is three numbers with commas between, LIST a file that names a picture a line. Runs under
Caffe's own Python, 2.7 or 3.
"""

import sys

from notebook_map import open_net, print_map  # type: ignore[import-not-found]


def main(full_conv, model, mean, pictures):
    # type: (str, str, str, str) -> None
    net, transformer = open_net(full_conv, model, mean)
    with open(pictures) as names:
        for name in names.read().split():
            print_map(net, transformer, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
