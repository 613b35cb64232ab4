"""What `convert` returns: the new net, and the files that it may be written to."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netsurgery.engines.contract import EngineOptions, engine_record
from netsurgery.errors import OutputError
from netsurgery.formats.settings import Settings
from netsurgery.io.argument_types import checks_arguments
from netsurgery.io.shape_text import shape_text
from netsurgery.io.table import Column, Table
from netsurgery.io.targets import wrote
from netsurgery.net.net_with_weights import NetWithWeights
from netsurgery.open_net.arguments import AnyPath, as_path
from netsurgery.surgery.convolution.plan import ConvolutionPlan
from netsurgery.surgery.convolution.weights import WeightsMatch
from netsurgery.verbs.conversion import (
    ENDING,
    OutputPaths,
    Written,
    check_can_be_verified,
    model_change,
    output_paths,
    planned_outputs,
    verify_conversion,
    write_conversion,
)
from netsurgery.verbs.convert_settings import SettingsOutcome
from netsurgery.verbs.default_names import default_prototxt, existing_notes
from netsurgery.verbs.open_result import OpenResult

if TYPE_CHECKING:
    from pathlib import Path

    from netsurgery.open_net.net import Net
    from netsurgery.verbs.draw_result import NetDrawing
    from netsurgery.verbs.verify_result import Verification

__all__ = ["Conversion"]


class Conversion(OpenResult):
    """What `convert` makes of a net, and the new net.

    plan: what becomes of layers, inputs and blobs. verification: the comparison of both nets, None
    where there was none. The input's weights stay open until this is closed or collected.

    >>> import netsurgery as ns
    >>> net, model = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
    >>> with ns.convert(net, model, engine="embedded") as result:
    ...     result.verify().same
    ...     result.save("converted")
    True
    ('converted/digits_full_conv.caffemodel', 'converted/netsurgery.toml',
     'converted/digits_deploy_full_conv.prototxt')
    """

    noun = "conversion"

    def __init__(
        self,
        plan: ConvolutionPlan,
        model: NetWithWeights,
        match: WeightsMatch,
        source: ExitStack,
        *,
        opened: NetWithWeights,
        settings: Settings,
        engine: EngineOptions,
    ) -> None:
        """model: the net of `plan` with its weights, those of `opened`; `source` closes them."""
        super().__init__(source, opened)
        self.plan, self._model, self._match = plan, model, match
        self._settings, self._engine = settings, engine
        # What the name of the new weights is made of.
        self._named_after = opened.known_path or plan.net.prototxt.path
        self._paths: OutputPaths | None = None
        self._drawing: Path | None = None
        self.verification: Verification | None = None
        self._written: Written | None = None
        self._output_notes: tuple[str, ...] = ()
        self._outcome = SettingsOutcome(None)  # of netsurgery.toml

    @property
    def paths(self) -> OutputPaths:
        """Where `prototxt`, `weights` and `settings` are. Raises OutputError before `save`."""
        if self._paths is None:
            raise OutputError("the converted net was written nowhere; save writes it")
        return self._paths

    @property
    def engine(self) -> str:
        """What moved the params into the file; "" where none was written."""
        return "" if self._written is None else self._written.engine

    @property
    def written(self) -> tuple[str, ...]:
        """The files written last: drawing, weights, netsurgery.toml, prototxt; () for none."""
        return () if self._written is None else self._written.files

    @property
    def match(self) -> WeightsMatch:
        """How the layers of the net and of the weights match, by name."""
        return self._match

    @property
    def text(self) -> str:
        """The prototxt of the new net."""
        return self.plan.text

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        bom = "the prototxt's byte order mark, which Caffe cannot read, is not written"
        notes = [bom] if self.plan.net.prototxt.bom else []
        notes += [*self.plan.notes, *self._match.notes]
        written = self._written
        if written is not None and written.engine_note:
            notes.append(written.engine_note)
        extra = ", ".join(map(repr, self._match.extra))
        if extra and written is None:
            notes.append(f"the model has params of layers that are not in the net: {extra}")
        elif extra and written is not None:
            by_us = written.engine == "embedded"
            fate = "kept in the new one" if by_us else "lost: Caffe saves the net's own layers only"
            notes.append(f"params of layers that are not in the net ({extra}) are {fate}")
        return (*notes, *self._output_notes)

    @cached_property
    def net(self) -> Net:
        """The new net, open, with its weights in a temporary file; the caller's to close."""
        from netsurgery.net.scratch_model import changed_model
        from netsurgery.open_net.net import Net

        self.check_open()
        if not self._model.has_weights:
            return Net.of_model(NetWithWeights(self.plan.new))
        return Net.of_model(changed_model(self._model, model_change(self.plan, self._model)))

    def draw(self) -> NetDrawing:
        """A drawing of the new net that marks which layers changed, and those that are gone.

        >>> import netsurgery as ns
        >>> paths = "prototxt/digits_deploy.prototxt", "models/digits/digits.caffemodel"
        >>> with ns.convert(*paths) as result:
        ...     print(result.draw())
        DigitsConv: 15 layers in 11 boxes, 10 edges, 3 changed
        """
        from netsurgery.surgery.difference.compare import compare_nets
        from netsurgery.verbs.draw import draw_difference

        old, new = self.plan.net, self.plan.new
        difference = compare_nets(old.prototxt, new.prototxt, state=old.state)
        return draw_difference(old, new, difference)

    def verify(self) -> Verification:
        """Run both nets, and every cell of the map against the classifier on its window.

        Of `before_pooling` the map's mean against the classifier's score; of `upsample` the cells
        that are interpolated. Raises SurgeryError where they differ, and for maps of `skip`.
        """
        self.check_open()
        check_can_be_verified(self.plan)
        with self.net.present_model() as new:
            self.verification = verify_conversion(self._model, new, self._engine)
        return self.verification

    @checks_arguments()
    def save(
        self,
        folder: AnyPath | None = None,
        *,
        prototxt_out: AnyPath | None = None,
        weights_out: AnyPath | None = None,
        draw: AnyPath | None = None,
        force: bool = False,
        verify: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[str, ...]:
        """Write the new net's prototxt and weights, and a netsurgery.toml for `classify_map`.

        folder: where ``NET_full_conv.prototxt`` and ``MODEL_full_conv.caffemodel`` go (default:
        the current one), unless prototxt_out and weights_out name them. draw: a file for the
        drawing of what changes, as `NetDrawing.save` takes it. verify: run both nets
        before any output appears. progress: called with the bytes of weights written so far and
        those in all. Returns the files written. What was changed in `net` is written by its own
        `save`, not here. Raises NetError without weights, SurgeryError where the nets' outputs
        differ, OutputError, EngineError; nothing is written then.
        """
        self.check_open()
        if verify:
            check_can_be_verified(self.plan)
        paths = self._outputs(folder, prototxt_out, weights_out)
        target = as_path(draw)
        written = write_conversion(
            self.plan, self._model, self._match, paths,
            settings=self._settings, engine=self._engine,
            drawing=None if target is None else (target, self.draw().rendered_for(target)),
            force=force, verify=verify, progress=progress,
        )  # fmt: skip
        self._paths, self._written, self._outcome = paths, written, written.settings
        self._drawing = target
        # Saving without verify does not undo what `verify` has shown.
        self.verification = written.verification or self.verification
        self._output_notes = (*filter(None, [self._outcome.note]),)
        return written.files

    @checks_arguments()
    def plan_outputs(
        self,
        folder: AnyPath | None = None,
        *,
        prototxt_out: AnyPath | None = None,
        weights_out: AnyPath | None = None,
        draw: AnyPath | None = None,
    ) -> None:
        """Set `paths` to where `save` would write, and say in `notes` what is there already.

        `written` is () again. Raises OutputError where it could not.
        """
        paths = self._outputs(folder, prototxt_out, weights_out)
        target = as_path(draw)
        if target is not None:
            self.draw().rendered_for(target)
        outcome, files = planned_outputs(self.plan, self._model, paths, self._settings, target)
        self._paths, self._written, self._outcome = paths, None, outcome
        self._drawing = target
        self._output_notes = (*filter(None, [outcome.note]), *existing_notes(files))

    def _outputs(
        self, folder: AnyPath | None, prototxt: AnyPath | None, weights: AnyPath | None
    ) -> OutputPaths:
        return output_paths(
            self.plan.net.prototxt.path,
            self._named_after,
            folder=as_path(folder),
            prototxt_out=as_path(prototxt),
            weights_out=as_path(weights),
        )

    @property
    def next(self) -> str | None:
        """The command that makes a map with what was written; None where nothing was, or none can.

        Of a training net it gives the shape that was given for its data layer's top.
        """
        if not self.written:
            return None
        from netsurgery.verbs.next_command import command_in

        words = ["netsurgery", "classify-map", "IMAGE"]
        scores = list(self.plan.activation_maps)
        if scores and self.plan.upsampling is not None:
            scores = [self.plan.upsampling.blob]  # which is read in their place
        # Behind the scores of an activation map a Softmax may follow.
        scores = [blob for blob in scores if blob not in self.plan.new.outputs]
        words += ["--blob", scores[-1]] if scores else []
        if not self.plan.new.inputs:  # data layers stay, which take no picture
            shapes = self.plan.new.state.shapes
            if not shapes:
                return None
            words += [f"--input-shape={name}={shape_text(shape)}" for name, shape in shapes]
        folder = self.paths.prototxt.parent
        # From the folder of a netsurgery.toml that names the net, no options are needed.
        if not self._outcome.of_this_net:
            words += ["--prototxt", str(self.paths.prototxt)]
            words += ["--weights", str(self.paths.weights)]
            return shlex.join(words)
        return command_in(folder, words)

    def to_json(self) -> dict[str, Any]:
        """As `netsurgery convert --json` prints it."""
        plan, paths, written = self.plan, self._paths, self._written
        settings = paths.settings if paths is not None and self._outcome.text is not None else None
        return {
            "layers": [
                {
                    "name": move.layer,
                    "new_name": move.target,
                    "params": [
                        {"index": index, "shape": list(old), "new_shape": list(new)}
                        for index, (old, new) in enumerate(zip(move.old, move.new, strict=True))
                    ],
                    "transposed": move.transpose,
                    "reordered": move.columns is not None,
                }
                for move in plan.moves
            ],
            "removed_layers": list(plan.removed),
            "renamed_blobs": plan.renames,
            "windows": {layer: list(size) for layer, size in plan.windows.items()},
            "inputs": [
                {
                    "name": resize.name,
                    "shape": list(resize.old),
                    "new_shape": list(resize.new),
                    "window": list(resize.window),
                    "stride": None if resize.stride is None else list(map(float, resize.stride)),
                }
                for resize in plan.inputs
            ],
            "maps": {blob: list(shape) for blob, shape in plan.maps.items()},
            "activation_maps": list(plan.activation_maps),
            "layers_sharing_params": list(self._match.missing),
            "params_without_layer": list(self._match.extra),
            "notes": list(self.notes),
            "prototxt": None if paths is None else str(paths.prototxt),
            "weights": None if paths is None else str(paths.weights),
            "settings": None if settings is None else str(settings),
            "drawing": None if self._drawing is None else str(self._drawing),
            "dry_run": written is None,
            "diff": None if written is not None else self._diff(),
            "engine": None
            if written is None
            else engine_record(written.engine, written.engine_note),
            "seconds": written and round(written.seconds, 3),
            "verified": None if self.verification is None else self.verification.to_json(),
            "next": self.next,
        }

    def _diff(self) -> str:
        from netsurgery.formats.line_diff import text_diff

        old = self.plan.net.prototxt
        paths = self._paths
        name = default_prototxt(old.path, ENDING) if paths is None else paths.prototxt
        return text_diff(old, self.text, str(name))

    def __str__(self) -> str:
        return f"{self.plan}{wrote(self.written)}"

    def table(self) -> Table:
        """The layers converted and the inputs that grow, each with its old and new shapes."""
        columns = Column("layer"), Column("params", 1), Column("becomes"), Column("params", 1)
        table = Table(columns)
        for move in self.plan.moves:
            old, new = (", ".join(map(shape_text, shapes)) for shapes in (move.old, move.new))
            table.add(move.layer, old, move.target, new)
        for resize in self.plan.inputs:
            table.add(resize.name, shape_text(resize.old), "", shape_text(resize.new))
        return table
