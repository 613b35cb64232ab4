"""What a net means: layers, states, blobs, shapes, strides."""

from netsurgery.net.net import Layer, NetDefinition, NetInput, Shape
from netsurgery.net.state import NetState

__all__ = ["Layer", "NetDefinition", "NetInput", "NetState", "Shape"]
