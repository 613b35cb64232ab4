"""The operations of ``netsurgery edit`` that have a name: the registry of them.

A new operation is a module here that has an `Operation`, and its line in `_NAMES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from netsurgery.surgery.edit.operations.record import Argument, Form, Operation

__all__ = ["OPERATIONS", "Argument", "Form", "Operation"]

#: Module -> the names of its operations, in the order of the help.
_NAMES = {
    "save": "save",
    "fold": "fold",
    "split_batch_norm": "split-batch-norm",
    "first_layers": "swap-input-channels fold-scale fold-mean",
    "grey": "rgb-to-grey grey-to-rgb",
    "outputs": "outputs",
    "decimate": "decimate",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}


class _Registry(Mapping[str, Operation]):
    """Name -> the operation, whose module is imported when it is looked up."""

    def __getitem__(self, name: str) -> Operation:
        module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
        operations: tuple[Operation, ...] = module.OPERATIONS
        return next(operation for operation in operations if operation.name == name)

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULE_OF)

    def __len__(self) -> int:
        return len(_MODULE_OF)


OPERATIONS: Mapping[str, Operation] = _Registry()
