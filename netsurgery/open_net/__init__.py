"""An open net in Python: its params and blobs as arrays, and what runs it."""
