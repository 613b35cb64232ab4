"""What a test does for want of something that came with Caffe or with `pip install .[dev]`."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ["lacking"]


def lacking(what: str) -> NoReturn:
    """Skip for want of `what`; where Caffe is required, as in .ci/run, that is a failure."""
    if os.environ.get("NETSURGERY_REQUIRE_CAFFE"):
        pytest.fail(f"NETSURGERY_REQUIRE_CAFFE is set, but: {what}")
    pytest.skip(what)
