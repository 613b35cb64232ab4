"""Take answers away from the records of layer types, one at a time: does a test fail each time?

    python tests/mutate_types.py [MUTANTS [SEED]]

runs that many mutants, drawn at random (all of them for 0), and prints those that survive.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from mutant_types import MUTANTS

TESTS = Path(__file__).resolve().parent

#: What is run for each, the quickest and the likeliest to fail first.
SUITES = (
    "test_types.py test_shapes.py test_field.py test_cost.py test_edges.py",
    "test_convolution.py test_edit.py test_fold.py test_initial_params.py test_export_layers.py",
)


def survives(mutant: str) -> bool:
    """Whether every test passes without that answer."""
    env = {**os.environ, "NETSURGERY_MUTANT": mutant, "PYTHONPATH": str(TESTS)}
    for suite in SUITES:
        paths = [str(TESTS / name) for name in suite.split()]
        command = [sys.executable, "-m", "pytest", "-qx", "-p", "mutant_types", "--no-header"]
        command += ["-p", "no:cacheprovider", *paths]
        if subprocess.run(command, env=env, cwd=TESTS.parent, capture_output=True).returncode:
            return False
    return True


def main(count: int = 60, seed: int = 0) -> int:
    chosen = random.Random(seed).sample(MUTANTS, count) if count else MUTANTS
    alive = [mutant for mutant in chosen if survives(mutant)]
    print(*(f"survives: {mutant}" for mutant in alive), sep="\n")
    print(f"{len(chosen)} of {len(MUTANTS)} mutants (seed {seed}), {len(alive)} survive")
    return bool(alive)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
