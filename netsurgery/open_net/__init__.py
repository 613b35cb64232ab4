"""What Python sees: the commands' verbs on open objects; `netsurgery` itself lists the names."""
