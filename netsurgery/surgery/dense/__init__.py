"""A net whose map has a finer stride: the same params, strides exchanged for dilation."""
