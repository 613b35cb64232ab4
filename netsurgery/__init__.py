"""netsurgery: trained Caffe classifiers made fully convolutional, and the maps they give."""

__version__ = "0.1.0"
