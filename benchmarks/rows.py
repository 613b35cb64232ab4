"""The rows of the table: what is run against what, and what bounds it on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.forwards import ROOT, held
from benchmarks.materials import MEAN, SMALL, Materials
from benchmarks.measure import Run, Summary, alternate, run
from benchmarks.table import Row, at_least, at_most, seconds, size

__all__ = ["Bench"]

Net = tuple[Path, Path]

#: What classify-map of one picture cannot do without.
_IMPORTS = "import numpy, PIL.Image, onnxruntime"
_PEAK = 64 << 20


@dataclass(frozen=True)
class Bench:
    """Materials, the Caffe to measure against (None: those rows are left out), turns a row."""

    materials: Materials
    caffe: str | None
    count: int

    def rows(self) -> Iterator[Row]:
        """Every row, as it is measured."""
        yield from self.convert_against_notebook()
        yield from self.convert_against_copy()
        yield from self.map_against_notebook()
        yield from self.forwards()
        yield from self.map_against_crops()
        yield from self.many_maps()
        yield from self.version()

    @cached_property
    def limits(self) -> dict[str, float]:
        """What `benchmarks.limits` measures."""
        small = ["--small"] if self.materials.scale is SMALL else []
        command = [sys.executable, "-m", "benchmarks.limits", *small]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        limits: dict[str, float] = json.loads(done.stdout)
        return limits

    @cached_property
    def click(self) -> Summary:
        """Python started with click imported."""
        return alternate([lambda: self._python("import click")], self.count)[0]

    def convert_against_notebook(self) -> Iterator[Row]:
        """convert, whole process, against the notebook's steps in pycaffe: time and memory."""
        if self.caffe is None:
            return
        materials = self.materials
        ours, theirs = alternate(
            [lambda: self._convert(materials.classifier), lambda: self._notebook_convert()],
            self.count,
        )
        what = f"convert, {size(materials.model.stat().st_size)}, whole process"
        yield Row(
            *at_least(10, theirs.seconds, ours.seconds),
            what,
            seconds(ours.seconds),
            f"the notebook's steps in pycaffe: {seconds(theirs.seconds)}",
            self._copy_bound(materials.model, ours),
        )
        yield Row(
            *at_least(12, theirs.peak, ours.peak, word="less"),
            f"peak memory of {what}",
            size(ours.peak),
            f"the same script: {size(theirs.peak)}",
            f"Python with click: {size(self.click.peak)}",
        )

    def convert_against_copy(self) -> Iterator[Row]:
        """convert against `cp` and a start of Python with click, at two sizes; its memory."""
        materials, peaks = self.materials, []
        for net, reach in ((materials.classifier, 2.0), (materials.large, 1.5)):
            ours, theirs = alternate(
                [lambda net=net: self._convert(net), lambda net=net: self._copy(net[1])],  # type: ignore[misc]
                self.count,
            )
            peaks.append(ours.peak)
            large = size(net[1].stat().st_size)
            yield Row(
                *at_most(reach, theirs.seconds, ours.seconds),
                f"convert, {large}, whole process",
                seconds(ours.seconds),
                f"`cp`, then Python with click: {seconds(theirs.seconds)}",
                self._copy_bound(net[1], ours),
            )
        for peak, (_, model) in zip(peaks, (materials.classifier, materials.large), strict=True):
            yield Row(
                f"{peak / _PEAK:.2f} times",
                "below 64 MiB",
                peak < _PEAK,
                f"peak memory of convert, {size(model.stat().st_size)}",
                size(peak),
                f"64 MiB: {size(_PEAK)}",
                f"Python with click: {size(self.click.peak)}",
            )

    def map_against_notebook(self) -> Iterator[Row]:
        """classify-map of one picture, whole process, against the notebook's last cell."""
        if self.caffe is None:
            return
        (imports,) = alternate([lambda: self._python(_IMPORTS)], self.count)
        ours, theirs = alternate([self._map, self._notebook_map], self.count)
        side = self.materials.scale.mapped
        forward = self._arithmetic(self.materials.dense[0], side)
        bound = imports.seconds + forward
        yield Row(
            *at_least(4, theirs.seconds, ours.seconds),
            f"classify-map, one picture at {side}x{side}, whole process",
            seconds(ours.seconds),
            f"the notebook's last cell in pycaffe: {seconds(theirs.seconds)}",
            f"{seconds(bound)}: numpy, Pillow and ONNX Runtime imported, "
            f"{seconds(imports.seconds)}, and the forward's arithmetic, {seconds(forward)}; "
            f"{ours.seconds / bound:.2g} times that",
        )

    def forwards(self) -> Iterator[Row]:
        """One forward, nets loaded and warm, against pycaffe's."""
        if self.caffe is None:
            return
        materials, scale = self.materials, self.materials.scale
        nets = ((materials.dense, scale.mapped), (materials.classifier, scale.window))
        for net, side in nets:
            shape = (1, 3, side, side)
            with ExitStack() as stack:
                ours_at = stack.enter_context(held(net, shape))
                theirs_at = stack.enter_context(held(net, shape, self.caffe, materials.environment))
                turns = [ours_at.steady, theirs_at.steady]
                ours, theirs = alternate(turns, 3 * self.count)
            yield Row(
                *at_least(1.5, theirs.seconds, ours.seconds),
                f"forward at {side}x{side}, warm",
                seconds(ours.seconds),
                f"pycaffe's: {seconds(theirs.seconds)}",
                self._forward_bound(net, side, ours),
            )

    def map_against_crops(self) -> Iterator[Row]:
        """One 8 x 8 map against the 64 crops, one by one and as a batch, engine by engine."""
        yield from self._crops("embedded", None)
        if self.caffe is not None:
            yield from self._crops("pycaffe", self.caffe)

    def _crops(self, engine: str, caffe: str | None) -> Iterator[Row]:
        materials, scale = self.materials, self.materials.scale
        crop = self._adds(materials.classifier[0], scale.window)
        dense = self._adds(materials.dense[0], scale.mapped)
        with ExitStack() as stack:
            whole, window, batch = (
                stack.enter_context(held(net, (count, 3, side, side), caffe, materials.environment))
                for net, count, side in (
                    (materials.dense, 1, scale.mapped),
                    (materials.classifier, 1, scale.window),
                    (materials.classifier, 64, scale.window),
                )
            )
            turns = [whole.forwards, window.forwards, lambda: window.forwards(64), batch.forwards]
            mapped, single, *crops = alternate(turns, self.count)
        what, took = f"one 8x8 map, {engine}", seconds(mapped.seconds)
        for how, all64 in zip(("one by one", "as one batch"), crops, strict=True):
            yield Row(
                f"{all64.seconds / mapped.seconds:.3g} x faster",
                "",
                None,
                what,
                took,
                f"its 64 windows {how}: {seconds(all64.seconds)}",
                f"{64 * crop / dense:.2g} x fewer multiply-adds",
            )
        yield Row(
            f"64 x the output for {mapped.seconds / single.seconds:.2f} x the time",
            "the notebook: 3 x",
            None,
            what,
            took,
            f"one crop: {seconds(single.seconds)}",
            f"{dense / crop:.2g} x the multiply-adds",
        )

    def many_maps(self) -> Iterator[Row]:
        """classify-map of many pictures, whole process, against forwards and pycaffe's loop."""
        scale = self.materials.scale
        turns = [self._bare_forwards, lambda: self._maps("--json"), self._drawn_maps]
        if self.caffe is not None:
            turns.append(self._notebook_maps)
        bare, printed, drawn, *theirs = alternate(turns, max(min(1, self.count), self.count - 2))
        what = (
            f"classify-map of {scale.pictures} pictures of 500x375 at {scale.mapped}x{scale.mapped}"
        )
        for how, share, ours in (("--json", 0.95, printed), ("--picture", 0.85, drawn)):
            yield Row(
                f"{bare.seconds / ours.seconds:.0%} of the speed",
                f"at least {share:.0%}",
                bare.seconds / ours.seconds >= share,
                f"{what}, {how}, whole process",
                seconds(ours.seconds),
                f"as many forwards, and nothing else: {seconds(bare.seconds)}",
                "",
            )
            for caffe in theirs if ours is printed else ():
                yield Row(
                    *at_least(2.5, caffe.seconds, ours.seconds),
                    f"{what}, {how}, whole process",
                    seconds(ours.seconds),
                    f"the notebook's loop in pycaffe: {seconds(caffe.seconds)}",
                    "",
                )

    def version(self) -> Iterator[Row]:
        """`netsurgery --version` against a start of Python with click."""
        command = (self.materials.netsurgery, "--version")
        ours, theirs, bare = alternate(
            [
                lambda: self._run(*command),
                lambda: self._python("import click"),
                lambda: self._python("pass"),
            ],
            4 * self.count,
        )
        yield Row(
            *at_most(1.5, theirs.seconds, ours.seconds),
            "`netsurgery --version`",
            seconds(ours.seconds),
            f'`python -c "import click"`: {seconds(theirs.seconds)}',
            f"Python's own start: {seconds(bare.seconds)}",
        )

    def _run(self, *command: str | Path) -> Run:
        return run(command, self.materials.folder, self.materials.environment)

    def _python(self, script: str) -> Run:
        return self._run(sys.executable, "-c", script)

    def _convert(self, net: Net) -> Run:
        materials = self.materials
        out = materials.clear("out")
        words = materials.converting(net, (out / "out.prototxt", out / "out.caffemodel"))
        return self._run(materials.netsurgery, *words)

    def _notebook_convert(self) -> Run:
        materials = self.materials
        out = materials.clear("out") / "out.caffemodel"
        script = ROOT / "benchmarks" / "notebook_convert.py"
        prototxt = materials.scale.prototxt
        return self._caffe(script, prototxt, materials.dense[0], materials.model, out)

    def _caffe(self, *words: Path | str) -> Run:
        assert self.caffe is not None
        return self._run(self.caffe, *words)

    def _copy(self, model: Path) -> Run:
        out = self.materials.clear("out") / "out.caffemodel"
        copied, started = self._run("cp", model, out), self._python("import click")
        return Run(copied.seconds + started.seconds, max(copied.peak, started.peak))

    def _map(self) -> Run:
        materials = self.materials
        command = (materials.netsurgery, "classify-map", materials.picture)
        return self._run(*command, *materials.mapping)

    def _maps(self, *how: str) -> Run:
        materials = self.materials
        command = (materials.netsurgery, "classify-map", "--from", materials.pictures)
        return self._run(*command, *materials.mapping, *how)

    def _drawn_maps(self) -> Run:
        return self._maps("--picture", str(self.materials.clear("drawn")), "-q")

    def _bare_forwards(self) -> Run:
        scale = self.materials.scale
        shape, count = f"1,3,{scale.mapped},{scale.mapped}", str(scale.pictures)
        script = ROOT / "benchmarks" / "bare_forwards.py"
        return self._run(sys.executable, script, *self.materials.dense, shape, count)

    def _notebook_maps(self) -> Run:
        materials = self.materials
        script = ROOT / "benchmarks" / "notebook_maps.py"
        return self._caffe(script, *materials.dense, MEAN, materials.pictures)

    def _notebook_map(self) -> Run:
        materials = self.materials
        script = ROOT / "benchmarks" / "notebook_map.py"
        return self._caffe(script, *materials.dense, MEAN, materials.picture)

    def _copy_bound(self, model: Path, ours: Summary) -> str:
        count = model.stat().st_size
        bound = count / self.limits["copied"] + self.click.seconds
        return (
            f"{seconds(bound)}: Python with click, and {size(count)} copied in memory at "
            f"{size(self.limits['copied'])}/s; {ours.seconds / bound:.2g} times that"
        )

    def _forward_bound(self, net: Net, side: int, ours: Summary) -> str:
        arithmetic = self._arithmetic(net[0], side)
        weights = net[1].stat().st_size / self.limits["read"]
        bounds = {
            arithmetic: f"{self._adds(net[0], side) / 1e9:.3g} G multiply-adds at "
            f"{self.limits['multiply_adds'] / 1e9:.3g} G/s",
            weights: f"{size(net[1].stat().st_size)} of weights read at "
            f"{size(self.limits['read'])}/s by one core",
        }
        bound = max(bounds)
        return f"{seconds(bound)}: {bounds[bound]}; {ours.seconds / bound:.2g} times that"

    def _adds(self, prototxt: Path, side: int) -> int:
        return self.materials.multiply_adds(prototxt, side)

    def _arithmetic(self, prototxt: Path, side: int) -> float:
        return self._adds(prototxt, side) / self.limits["multiply_adds"]
