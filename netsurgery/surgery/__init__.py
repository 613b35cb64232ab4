"""Changes to a net, each a plan first."""
