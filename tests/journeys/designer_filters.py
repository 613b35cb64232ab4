# imports
import numpy as np
from PIL import Image

import netsurgery as ns

# load
net = ns.init("filters.prototxt", seed=1).net
print(f"blobs {list(net.blobs)}\nparams {list(net.params)}")
image = np.asarray(Image.open("digits_canvas.png")) / 255
net.forward(data=image[None, None])


# show
def show_filters(name: str) -> None:
    conv = net.forward()["conv"][0]
    shades = 255 * (conv - conv.min()) / np.ptp(conv)
    Image.fromarray(np.concatenate(np.uint8(shades), axis=1)).save(name)


show_filters("random.png")

# bias
conv0 = net.blobs["conv"].data[0, 0]
print(f"pre-surgery output mean {conv0.mean():.2f}")
net.params["conv"][1].data[0] = 1
net.forward()
print(f"post-surgery output mean {conv0.mean():.2f}")

# kernels
y, x = np.mgrid[-2:3, -2:3]
gaussian = np.exp(-(x**2 + y**2) / 2)
net.params["conv"][0].data[0] = gaussian / gaussian.sum()
net.params["conv"][0].data[1:] = 0
sobel = np.outer([-1, 0, 1], [1, 2, 1])
net.params["conv"][0].data[1, 0, 1:-1, 1:-1] = sobel
net.params["conv"][0].data[2, 0, 1:-1, 1:-1] = sobel.T
show_filters("designed.png")
