"""What earlier generations of Caffe called the layer types of today: words and numbers.

V1 (2014) wrote types as an enum, V1LayerParameter.LayerType; V0 (2013) as strings of its own.
"""

from __future__ import annotations

from netsurgery.formats.textformat import Message

__all__ = ["V0_TYPES", "V1_TYPES", "V1_WORDS", "V1_WORDS_OF_FORKS", "layer_type"]

#: By V1's number: V1's word, and the type's name today. A layer of type NONE has none.
_V1 = (
    *(("NONE", ""), ("ACCURACY", "Accuracy"), ("BNLL", "BNLL"), ("CONCAT", "Concat")),
    *(("CONVOLUTION", "Convolution"), ("DATA", "Data"), ("DROPOUT", "Dropout")),
    *(("EUCLIDEAN_LOSS", "EuclideanLoss"), ("FLATTEN", "Flatten"), ("HDF5_DATA", "HDF5Data")),
    *(("HDF5_OUTPUT", "HDF5Output"), ("IM2COL", "Im2col"), ("IMAGE_DATA", "ImageData")),
    *(("INFOGAIN_LOSS", "InfogainLoss"), ("INNER_PRODUCT", "InnerProduct"), ("LRN", "LRN")),
    ("MULTINOMIAL_LOGISTIC_LOSS", "MultinomialLogisticLoss"),
    *(("POOLING", "Pooling"), ("RELU", "ReLU"), ("SIGMOID", "Sigmoid"), ("SOFTMAX", "Softmax")),
    *(("SOFTMAX_LOSS", "SoftmaxWithLoss"), ("SPLIT", "Split"), ("TANH", "TanH")),
    *(("WINDOW_DATA", "WindowData"), ("ELTWISE", "Eltwise"), ("POWER", "Power")),
    ("SIGMOID_CROSS_ENTROPY_LOSS", "SigmoidCrossEntropyLoss"),
    *(("HINGE_LOSS", "HingeLoss"), ("MEMORY_DATA", "MemoryData"), ("ARGMAX", "ArgMax")),
    *(("THRESHOLD", "Threshold"), ("DUMMY_DATA", "DummyData"), ("SLICE", "Slice"), ("MVN", "MVN")),
    *(("ABSVAL", "AbsVal"), ("SILENCE", "Silence"), ("CONTRASTIVE_LOSS", "ContrastiveLoss")),
    *(("EXP", "Exp"), ("DECONVOLUTION", "Deconvolution")),
)

#: V1 number -> the type's name today.
V1_TYPES = tuple(name for _, name in _V1)

#: V1 word -> the type's name today.
V1_WORDS = dict(_V1)

#: Words that forks added to V1's -> the type's name today: DeepLab's and MobileNet-YOLO's.
V1_WORDS_OF_FORKS = {"INTERP": "Interp", "RELU6": "ReLU6"}

#: V0 word -> the type's name today. V0 had its padding in layers of their own, "padding".
V0_TYPES = {
    "accuracy": "Accuracy",
    "bnll": "BNLL",
    "concat": "Concat",
    "conv": "Convolution",
    "data": "Data",
    "dropout": "Dropout",
    "euclidean_loss": "EuclideanLoss",
    "flatten": "Flatten",
    "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output",
    "im2col": "Im2col",
    "images": "ImageData",
    "infogain_loss": "InfogainLoss",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MultinomialLogisticLoss",
    "pool": "Pooling",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "softmax_loss": "SoftmaxWithLoss",
    "split": "Split",
    "tanh": "TanH",
    "window_data": "WindowData",
}


def layer_type(message: Message, generation: str) -> str:
    """The layer's type as Caffe 1.0 names it; a word no generation knows is returned as it is."""
    if generation == "V2":
        return message.string("type")
    if generation == "V0":
        word = message.string("type")
        return V0_TYPES.get(word, word)
    kind, word = message.scalar("type"), message.word("type", "")
    if kind is not None and kind.kind == "number":  # 011 is 9, as in Caffe
        number = kind.as_int()
        return V1_TYPES[number] if number in range(len(V1_TYPES)) else word
    return V1_WORDS.get(word) or V1_WORDS_OF_FORKS.get(word, word)
