"""A job: a folder that says what is to be done, and holds what is done by any workers."""
