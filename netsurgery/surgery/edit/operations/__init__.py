"""The operations of ``netsurgery edit`` that have a name: the registry of them.

A new operation is a module here that has an `Operation`, and its line in `OPERATIONS`.
"""

from __future__ import annotations

from netsurgery.surgery.edit.operations import (
    first_layers,
    fold,
    grey,
    outputs,
    save,
    split_batch_norm,
)
from netsurgery.surgery.edit.operations.record import Argument, Form, Operation

__all__ = ["OPERATIONS", "Argument", "Form", "Operation"]

#: Name -> the operation, in the order of the help.
OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for module in (save, fold, split_batch_norm, first_layers, grey, outputs)
    for operation in module.OPERATIONS
}
