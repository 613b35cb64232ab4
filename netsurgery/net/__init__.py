"""What a net means: layers, states, blobs, shapes, strides."""
