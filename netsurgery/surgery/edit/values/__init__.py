"""The values that a param can be set to by name, and numbers: `LAYER[INDEX]=...`.

`registry` lists them; it imports them all, and is imported where a name is met.
"""
