"""How nets, weights and settings are written down; knows nothing of what a layer means."""
