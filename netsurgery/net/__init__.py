"""What a net means: layers, blobs, shapes, strides."""
