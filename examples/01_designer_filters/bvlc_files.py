"""Copy what the notebook works on into a new folder: BVLC's conv.prototxt and cat_gray.jpg.

They are part of Debian's caffe-doc, which `netsurgery caffe install` unpacks; none of BVLC's
files is kept in this repository. Usage: bvlc_files.py FOLDER
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from netsurgery.engines.debian import caffe_documentation

FILES = ("examples/net_surgery/conv.prototxt", "examples/images/cat_gray.jpg")


def main(folder: Path) -> None:
    docs = caffe_documentation()
    if docs is None:
        sys.exit("error: no caffe-doc here; 'netsurgery caffe install' brings it")
    folder.mkdir(exist_ok=True)
    for name in FILES:
        (folder / Path(name).name).write_bytes(content(docs / name))


def content(path: Path) -> bytes:
    """The file, which Debian may have gzipped."""
    if path.exists():
        return path.read_bytes()
    return gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
