"""How long a prototxt takes to read, by its size: twice the text should take twice the time.

python -m benchmarks.prototxt
"""

from __future__ import annotations

import time
from collections.abc import Callable

from netsurgery.formats.prototxt import Prototxt
from netsurgery.net.net import NetDefinition
from netsurgery.net.shapes import infer

__all__ = ["main", "net_text"]

_SIZES = (1, 2, 4, 8)
_LAYER = """\
layer {{  # the usual: a convolution and what follows it in place
  name: "conv{0}"
  type: "Convolution"
  bottom: "{1}"
  top: "conv{0}"
  param {{ lr_mult: 1 decay_mult: 1 }}
  convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }}
}}
layer {{ name: "relu{0}" type: "ReLU" bottom: "conv{0}" top: "conv{0}" }}
"""


def net_text(size: int) -> str:
    """A net's text of about `size` bytes."""
    pieces = ['input: "data" input_shape { dim: 1 dim: 16 dim: 8 dim: 8 }\n']
    length, number, bottom = len(pieces[0]), 0, "data"
    while length < size:
        pieces.append(_LAYER.format(number, bottom))
        length, bottom, number = length + len(pieces[-1]), f"conv{number}", number + 1
    return "".join(pieces)


def _least(work: Callable[[], object], times: int = 3) -> float:
    """The least of several times, in seconds of the processor."""
    measured = []
    for _ in range(times):
        started = time.process_time()
        work()
        measured.append(time.process_time() - started)
    return min(measured)


def main() -> None:
    """Print seconds by MiB for reading the text, and for reading it as a net with its shapes."""
    print("MiB  layers   text s   s/MiB    net s   s/MiB")
    for mib in _SIZES:
        text = net_text(mib << 20)
        document = Prototxt.parse(text)
        parse = _least(lambda text=text: Prototxt.parse(text))  # type: ignore[misc]
        net = _least(lambda document=document: infer(NetDefinition.of(document)))  # type: ignore[misc]
        layers = len(document.layers)
        print(f"{mib:3}  {layers:6}  {parse:7.2f} {parse / mib:7.2f}  {net:7.2f} {net / mib:7.2f}")


if __name__ == "__main__":
    main()
