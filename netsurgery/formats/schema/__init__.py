"""The schemas of prototxts: Caffe 1.0's, and those of the forks whose layers are known.

`index` answers which fields a message has and needs no protobuf. `descriptors` gives the whole
schemas, in protobuf's own words: types, defaults, enums. `problems` holds a text against them.

The files here are made from the tables in the folder schema/ by `make schema`.
"""
