"""The jobs of the commands, without a terminal: plans and engines put together."""
