"""Params of one net put into another."""
