"""Two nets compared."""
