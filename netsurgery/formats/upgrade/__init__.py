"""Nets of an earlier Caffe written for Caffe 1.0, as text and as binary."""
