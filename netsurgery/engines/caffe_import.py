"""Puts off what `import caffe` imports and running nets does not need: caffe.io.

It reads pictures for scripts, by scikit-image and SciPy, which takes half the time of `import
caffe`. Nothing here uses it: pictures are read in netsurgery. A net's own layers in Python may, so
for them the worker does not put it off.

It stands alone beside caffe_worker.py and caffe_probe.py, which load it by its path: the standard
library alone, Python 2.7 to 3.x.
"""

from __future__ import absolute_import, division, print_function

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Sequence

__all__ = ["put_off_pictures"]

NAME = "caffe.io"


def put_off_pictures():
    # type: () -> None
    """Have caffe.io run when something of it is first used, and not when it is imported.

    Under Python 2 and where it was imported before, it stays as it is.
    """
    if sys.version_info >= (3, 5) and NAME not in sys.modules:
        sys.meta_path.insert(0, Finder())


class Finder(object):
    """Finds caffe.io as Python does, and has it imported later."""

    def find_spec(self, name, path=None, target=None):
        # type: (str, Optional[Sequence[str]], Any) -> Any
        if name != NAME:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)  # type: Any
        if spec is not None and spec.loader is not None:
            spec.loader = Later(spec.loader)
        return spec


class Later(object):
    """A loader that leaves the module empty, until something of it is asked for."""

    def __init__(self, loader):
        # type: (Any) -> None
        self.loader = loader

    def create_module(self, spec):
        # type: (Any) -> types.ModuleType
        return Unread(spec.name)

    def exec_module(self, module):
        # type: (types.ModuleType) -> None
        pass


class Unread(types.ModuleType):
    """A module that is run when a name is asked of it that it does not have.

    importlib.util.LazyLoader's is run for names such as __path__ too, which whoever lists
    sys.modules asks all of them for.
    """

    def __getattr__(self, name):
        # type: (str) -> Any
        if name.startswith("__"):
            raise AttributeError("module %s has no attribute %s" % (NAME, name))
        later = self.__dict__["__loader__"]
        object.__setattr__(self, "__class__", types.ModuleType)  # what it lacks then, it lacks
        later.loader.exec_module(self)
        return getattr(self, name)
