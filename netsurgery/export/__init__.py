"""A Caffe net written as an ONNX graph."""
