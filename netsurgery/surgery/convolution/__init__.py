"""InnerProduct layers rewritten as Convolution layers: the plan, the text, the weights."""
