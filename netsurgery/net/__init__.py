"""What a net means: layers, blobs, shapes, strides."""

from netsurgery.net.net import Layer, Net, NetInput, Shape

__all__ = ["Layer", "Net", "NetInput", "Shape"]
