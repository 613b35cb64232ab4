"""Execute a notebook from top to bottom and store in it what its cells print and show.

A notebook is JSON: its code cells are run in one namespace, in order, by the standard library
alone; Jupyter opens the result. Usage: run_notebook.py NOTEBOOK.ipynb
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["code_cells", "execute", "load"]

Cell = dict[str, Any]
Output = dict[str, Any]


def load(path: Path) -> dict[str, Any]:
    """The notebook. Raises ValueError for one of another format than 4."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if notebook.get("nbformat") != 4:
        raise ValueError(f"{path}: nbformat {notebook.get('nbformat')}, expected 4")
    return notebook


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """The cells that run, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(notebook: dict[str, Any], folder: Path) -> Iterator[list[Output]]:
    """Run the code cells one after another, `folder` being the current one; each one's outputs.

    What a cell raises goes through.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    before = Path.cwd()
    os.chdir(folder)
    try:
        for number, cell in enumerate(code_cells(notebook), 1):
            yield list(_outputs("".join(cell["source"]), number, names))
    finally:
        os.chdir(before)


def _outputs(source: str, number: int, names: dict[str, Any]) -> Iterator[Output]:
    """What one cell prints, then what its last line is worth."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        value = _run(source, f"<cell {number}>", names)
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        yield {"name": "stdout", "output_type": "stream", "text": text}
    if value is not None:
        yield {
            "data": _shown(value),
            "execution_count": number,
            "metadata": {},
            "output_type": "execute_result",
        }


def _run(source: str, name: str, names: dict[str, Any]) -> Any:
    """Run statements; the value of the last if it is an expression, else None."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), names)


def _shown(value: Any) -> dict[str, Any]:
    """A picture as PNG, everything else as its repr."""
    if hasattr(value, "_repr_png_"):
        encoded = base64.b64encode(value._repr_png_()).decode()
        return {"image/png": encoded, "text/plain": ["<a picture>"]}
    return {"text/plain": repr(value).splitlines(keepends=True)}


def main(path: Path) -> None:
    """Run it where it lies, and write the outputs into it."""
    notebook = load(path)
    results = list(execute(notebook, path.resolve().parent))
    for number, (cell, outputs) in enumerate(zip(code_cells(notebook), results, strict=True), 1):
        cell["execution_count"], cell["outputs"] = number, outputs
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
