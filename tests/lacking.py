"""What a test does for want of what the system has, Caffe, `pip install .[dev]` or `make test`."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

import pytest

__all__ = ["as_root", "lacking", "needs", "with_owners"]

with_owners = pytest.mark.skipif(sys.platform == "win32", reason="os.stat knows no owners there")
as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root may become somebody else"
)


def lacking(what: str) -> NoReturn:
    """Skip for want of `what`; where Caffe is required, as in .ci/run, that is a failure."""
    if os.environ.get("NETSURGERY_REQUIRE_CAFFE"):
        pytest.fail(f"NETSURGERY_REQUIRE_CAFFE is set, but: {what}")
    pytest.skip(what)


def needs(program: str) -> None:
    """Skip for want of a program that `make test` installs on Debian, as `lacking` does."""
    if shutil.which(program) is None:
        lacking(f"no {program}; `make test` as root gets it on Debian")
