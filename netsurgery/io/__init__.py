"""Bytes and files, without a format: ranges, whole outputs, locks, readers, the protobuf wire."""
