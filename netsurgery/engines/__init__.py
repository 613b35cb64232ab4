"""What can run a net: the engine contract and the engines behind it."""
