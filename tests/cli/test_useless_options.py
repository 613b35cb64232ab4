"""An option that would do nothing in a call is refused, by one rule; a variable is not."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from command_tree import every_command

from netsurgery.cli import run

PAIR = ["a.prototxt", "a.caffemodel"]
EMBEDDED = "--engine embedded"

#: Command -> a call of it.
BASE = {
    "convert": "a.prototxt a.caffemodel",
    "classify-map": "x.png",
    "dense": "a.prototxt --stride 2",
    "draw": "a.prototxt",
    "inspect": "",
    "init": "a.prototxt -o o",
    "edit": "a.prototxt a.caffemodel fold",
    "export": "a.prototxt a.caffemodel -o o",
    "diff": "a.caffemodel a.caffemodel",
    "transplant": "a.prototxt a.caffemodel b.prototxt",
    "upgrade": "a.prototxt",
    "verify": "a.prototxt a.caffemodel a.prototxt a.caffemodel",
    "features": "x.png --blob b -o o.npz",
    "setup": "a.prototxt a.caffemodel --image x.png --class 1",
    "evaluate": ". --annotations x.json",
}

#: Command -> option -> the words of calls in which it does nothing, and the reason given for each.
USELESS: dict[str, dict[str, dict[str, str]]] = {
    "convert": {
        "--skip": {"": "without --upsample"},
        **{
            option: {
                EMBEDDED: "with --engine embedded, which converts without running the net",
            }
            for option in ("--gpu", "--timeout", "--threads", "--verbose")
        },
        **{
            option: {
                EMBEDDED: "with --engine embedded, which is not Caffe",
            }
            for option in ("--caffe-python", "--allow")
        },
    },
    "classify-map": {
        "--recursive": {"": "where no IMAGE is a folder"},
        "--occlusion": {"--job j": "with --job, which maps windows"},
        "--patch": {"": "without --occlusion"},
        "--grad-cam": {
            "--occlusion": "with --occlusion, which explains, too",
            "--job j": "with --job, which maps windows",
        },
        "--top-k": {
            "": "without --json, --npz or --parquet",
            "--json --occlusion": "with --occlusion, whose classes are those of --class",
            "--json --grad-cam last": "with --grad-cam, whose classes are those of --class",
        },
        "--resume": {
            "--npy o --occlusion": "with --occlusion, which is not run in tiles",
            "--npy o --grad-cam last": "with --grad-cam, which is not run in tiles",
            "": "without --npy, --npz",
            "--npy o --tile none": "with --tile none",
            "--npy o --stride 2": "with --stride, whose runs are not kept",
            "--npy o --scales 1,2": "with --scales, whose runs are not kept",
        },
        "--combine": {"": "without --scales"},
        "--summary": {
            "--json": "with --json, which has the table",
            "-q": "with -q, which",
            "--job j": "with --job, which prints no map",
        },
        "--class": {
            "": "without --geotiff, --picture or --html",
            "--html o": "with --html and no --picture: the page has every class",
        },
        "--background": {
            "-q --npy o": "with -q, which prints no map, and without --json",
            "--occlusion": "with --occlusion, which has no background",
            "--grad-cam last": "with --grad-cam, which has no background",
        },
        "--all-classes": {"": "without --html"},
        "--upsample": {"--json": "without --npy, --geotiff or --picture"},
        "--layout": {
            "": "without --picture",
            "--picture o --class each": "with --class each, which has a layout of its own",
        },
        "--alpha": {
            "": "without --picture",
            "--picture o --layout map --class 3": "with --layout map and one class, whose heat",
        },
        **{
            option: {"": "without --picture"}
            for option in ("--width", "--smooth", "--range", "--font")
        },
        "--window": {
            "--json --occlusion": "with --occlusion, whose cells have windows of their own",
            "--json --grad-cam last": "with --grad-cam, whose cells have windows of their own",
            "": "without --json, --npz, --zarr, --geotiff, --picture, --html, --parquet or --boxes",
        },
        "--force": {
            "": "without --npy, --npz, --zarr, --geotiff, --picture, --html, --parquet or --boxes"
        },
        **{
            option: {"": "without --boxes"}
            for option in ("--threshold", "--overlap", "--box-scales")
        },
        "--workers": {"": "without --job"},
        "--on": {"": "without --job"},
    },
    "inspect": {
        "--force": {"a.caffemodel --param conv1[0]": "without --npy or --picture"},
        "--npy": {"a.caffemodel": "without --param"},
        "--picture": {"n.prototxt a.caffemodel": "without --param"},
        "--param": {"n.prototxt": "without a caffemodel"},
        "--stats": {
            "n.prototxt": "without a caffemodel",
            "a.caffemodel --param a[0]": "with --param",
        },
        **{
            option: {
                "a.caffemodel": "without a prototxt",
                "n.prototxt a.caffemodel --param a[0]": "with --param",
            }
            for option in ("--size", "--field")
        },
        **{
            option: {"a.caffemodel": "without a prototxt"}
            for option in ("--phase", "--stage", "--input-shape")
        },
        "--level": {"a.caffemodel --param a[0]": "without a prototxt"},
    },
    "features": {
        "--recursive": {"": "where no IMAGE is a folder"},
        "--resume": {"--tile none": "with --tile none"},
        **{
            option: {"": "without --picture"}
            for option in ("--channels", "--sort", "--scale", "--colors")
        },
    },
    "diff": {
        **{
            option: {"": "without a prototxt"}
            for option in (
                "--text",
                "--strict",
                "--draw",
                "--phase",
                "--stage",
                "--level",
                "--input-shape",
            )
        },
        "--force": {"n.prototxt n.prototxt": "without --draw"},
    },
    "draw": {"--force": {"-o -": "with -o -, which is standard output"}},
    "verify": {
        "--tiles": {"": "without --image, on which"},
        "--random": {"--tiles 9 --image x": "with --tiles, which"},
        "--engines": {"--tiles 9 --image x": "with --tiles, which"},
        "--engine": {"--engines caffe,embedded": "with --engines, which names both"},
        "--seed": {"--image x": "with --image and no --random"},
        **{
            option: {"": "without --image"}
            for option in (
                "--preprocess",
                "--mean",
                "--raw-scale",
                "--channel-swap",
                "--input-scale",
            )
        },
    },
    "export": {
        "--trust-config": {"": "without --with-preprocess"},
        "--force": {"-o -": "with -o -, which is standard output"},
    },
    "setup": {"--mean": {"--preprocess scaled": "with --preprocess, but for bvlc-mean"}},
    "evaluate": {
        **{
            option: {"": "without --boxes"}
            for option in ("--threshold", "--overlap", "--box-scales", "--coco-results")
        },
        "--force": {"--boxes": "without --coco-results"},
    },
    "init": {"--force": {"-o -": "with -o -, which"}},
    "transplant": {"--force": {"-o -": "with -o -, which"}},
    "dense": {"--force": {"-o -": "with -o -, which"}},
    "upgrade": {"--force": {"-o -": "with -o -, which"}},
}
for _name in ("classify-map", "evaluate", "features"):
    for _option in ("--fit", "--antialias"):
        USELESS.setdefault(_name, {})[_option] = {"--size image": "with --size image, which"}
for _name in ("classify-map", "evaluate", "features", "setup", "verify"):
    for _option in ("--caffe-python", "--allow"):
        USELESS.setdefault(_name, {})[_option] = {EMBEDDED: "with --engine embedded, which is not"}
for _option in ("--caffe-python", "--allow"):
    USELESS["verify"][_option]["--engines embedded,embedded"] = "with --engines embedded,embedded"

#: Option -> a value that it takes.
VALUES = {
    "--skip": "pool1",
    "--allow": "reads",
    "--alpha": "0.5",
    "--channels": "0,2",
    "--colors": "grey",
    "--font": "f.ttf",
    "--layout": "map",
    "--range": "0,2",
    "--scale": "channel",
    "--width": "500",
    "--workers": "2",
    "--on": "ray",
    "--caffe-python": "p",
    "--channel-swap": "bgr",
    "--background": "none",
    "--box-scales": "1,2",
    "--class": "each",
    "--coco-results": "o.json",
    "--draw": "d.svg",
    "--engine": "caffe",
    "--engines": "caffe,embedded",
    "--fit": "crop",
    "--gpu": "0",
    "--grad-cam": "conv",
    "--input-scale": "2",
    "--input-shape": "data=1x1",
    "--level": "1",
    "--mean": "1,2,3",
    "--npy": "o",
    "--overlap": "0.5",
    "--param": "a[0]",
    "--patch": "5",
    "--phase": "TEST",
    "--picture": "o",
    "--preprocess": "bvlc",
    "--random": "2",
    "--combine": "max",
    "--raw-scale": "255",
    "--seed": "3",
    "--size": "8x8",
    "--stage": "s",
    "--threads": "2",
    "--threshold": "0.5",
    "--tiles": "9",
    "--timeout": "9",
    "--top-k": "3",
    "--upsample": "pixels",
    "--window": "5",
}

#: Options that have a meaning in every call, as far as the command line says: what a net, a file
#: or a setting makes of them is not known before it is read. A command is named where the option
#: depends on another one elsewhere.
ALWAYS = """
    --as-caffe --before-pooling --blob --dry-run --from --html --image --input-shape --input-size
    --json
    --keep-downloads --keep-global-pooling --labels --layers --level --map --map-size --max-memory
    --max-pixels
    --mean --mirror --missing --npy --on-refusal --output --output-dir --parquet --phase --picture
    --prefix --preprocess --prototxt --prototxt-out --quiet --raw-scale --channel-swap
    --geotiff --input-scale --npz --scales --zarr --size --slice --stage --stride --suffix --suite
    --tile
    --tolerance --verify
    --weights --weights-out --weights-storage --with-preprocess
    --engine --gpu --threads --timeout --trust-config --verbose
    draw:--field draw:--fold draw:--format convert:--draw convert:--upsample
    setup:--class setup:--force convert:--force edit:--force transplant:--strict features:--force
    init:--seed install:--force info:--caffe-python
    classify-map:--boxes classify-map:--job merge:--boxes merge:--force merge:--records
    resume:--allow resume:--caffe-python resume:--on resume:--retry resume:--workers
    evaluate:--annotations evaluate:--classes evaluate:--background evaluate:--boxes
    evaluate:--near evaluate:--far evaluate:--scale evaluate:--mask evaluate:--window
    evaluate:--top-k
    plan:--annotations plan:--images plan:--classes plan:--background-class plan:--near
    plan:--far plan:--scale plan:--mask plan:--background plan:--flip plan:--scales plan:--color
    plan:--around plan:--fit plan:--window plan:--hold-out plan:--batch plan:--balance
    plan:--background-weight plan:--keep-outputs plan:--keep-auxiliary plan:--freeze
    plan:--skip-broken plan:--train-batch-norm plan:--rate plan:--steps
    plan:--drop plan:--momentum plan:--decay plan:--seed plan:--pictures plan:--force
    run:--resume run:--evaluate run:--snapshot run:--loss-map run:--caffe-python run:--allow
    run:--force report:--curves report:--force
    cache:--clear
""".split()

CALLS = {
    (name, option, more): reason
    for name, options in USELESS.items()
    for option, calls in options.items()
    for more, reason in calls.items()
}
#: Calls in which the same options have a meaning: what is said is about the files.
USEFUL = [
    ("convert", *PAIR, "--gpu", "0", "--engine", "embedded", "--verify"),
    ("convert", *PAIR, "--gpu", "0"),
    ("classify-map", "x.png", "--gpu", "0", "--threads", "2", "--engine", "embedded"),
    ("classify-map", "x.png", "--top-k", "3", "--json"),
    ("classify-map", "x.png", "--top-k", "3", "--parquet", "o.parquet"),
    ("classify-map", "x.png", ".", "--recursive"),
    ("classify-map", "--from", "x.txt", "--recursive"),
    ("classify-map", "x.png", "--size", "8x8", "--fit", "crop"),
    ("classify-map", "x.png", "--class", "3", "--picture", "o.png"),
    ("classify-map", "x.png", "--class", "3", "--all-classes", "--html", "o.html"),
    ("classify-map", "x.png", "--class", "each", "--html", "o.html", "--picture", "o.png"),
    ("classify-map", "x.png", "--background", "3", "-q", "--json"),
    ("classify-map", "x.png", "--class", "3", "--occlusion", "--patch", "5", "--stride", "2"),
    ("classify-map", "x.png", "--class", "3", "--grad-cam"),
    ("classify-map", "x.png", "--background", "3", "--npy", "o.npy"),
    ("classify-map", "x.png", "--background", "3", "-q", "--boxes", "o.json", "--overlap", "1"),
    ("classify-map", "x.png", "--layout", "map", "--picture", "o.png", "--smooth"),
    ("classify-map", "x.png", "--layout", "map", "--picture", "o.png", "--alpha", "1"),
    ("features", "x.png", "--blob", "b", "--picture", "o.png", "--channels", "3", "--sort"),
    ("classify-map", "x.png", "--window", "5", "--json"),
    ("classify-map", "x.png", "--npy", "o.npy", "--force"),
    ("evaluate", ".", "--annotations", "x", "--boxes", "--coco-results", "o", "--force"),
    ("verify", *PAIR, *PAIR, "--caffe-python", "p", "--engines", "caffe,embedded"),
    ("verify", *PAIR, *PAIR, "--mean", "1,2,3", "--image", "x"),
    ("verify", *PAIR, *PAIR, "--image", "x", "--seed", "3", "--random", "1"),
    ("verify", *PAIR, *PAIR, "--seed", "3"),
    ("verify", *PAIR, "--tiles", "9", "--image", "x"),
    ("setup", *PAIR, "--image", "x", "--class", "1", "--mean", "1,2,3"),
    ("setup", *PAIR, "--image", "x", "--class", "1", "--mean", "1", "--preprocess", "bvlc-mean"),
    # They are of the file that names the engine, too.
    ("verify", *PAIR, *PAIR, "--ignore-config"),
    ("convert", *PAIR, "--ignore-config"),
    ("setup", *PAIR, "--image", "x", "--class", "1", "--trust-config"),
    ("export", *PAIR, "-o", "o", "--ignore-config", "--with-preprocess"),
    ("diff", "a.prototxt", "b.prototxt", "--strict"),
    ("diff", "n.prototxt", "n.prototxt", "--text", "--phase", "TRAIN"),
    ("inspect", "n.prototxt", "--size", "8x8", "--field", "--phase", "TEST"),
    ("inspect", "n.prototxt", "a.caffemodel", "--param", "b[0]", "--phase", "TRAIN"),
    ("inspect", "a.caffemodel", "--param", "b[0]", "--npy", "o", "--picture", "p", "--force"),
    # What a file is that cannot be read is not known.
    ("inspect", "no.prototxt", "--stats"),
    ("inspect", "no.caffemodel", "--field"),
    ("edit", *PAIR, "-o", "-", "--force", "fold"),
    # A dry run takes the options of the run that it shows.
    ("edit", *PAIR, "--dry-run", "--force", "fold"),
    ("convert", *PAIR, "--dry-run", "--force", "--engine", "caffe", "--gpu", "0"),
]


def longest(option: click.Option) -> str:
    return max(option.opts, key=len)


def test_every_option_says_when_it_does_nothing() -> None:
    """By `useless` where other options decide it; or it is on the list of those that always do."""
    used = set()
    for full_name, command in every_command().items():
        name = full_name.split()[-1]
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            conditions = [reason for reason, _ in getattr(option, "useless", ())]
            tested = USELESS.get(name, {}).get(longest(option), {})
            applying = [each for each in conditions if any(map(each.startswith, tested.values()))]
            always = {longest(option), f"{name}:{longest(option)}"}.intersection(ALWAYS)
            used |= always
            assert len(applying) == len(tested), (name, option.opts)
            assert tested or always, (name, option.opts)
    assert used == set(ALWAYS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are there, and a prototxt that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETSURGERY_ENGINE", raising=False)
    Path("a.caffemodel").write_bytes(b"\x0a\x01a")
    Path("n.prototxt").write_text("layer {")


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_refused(call: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    name, option, more = call
    value = [VALUES[option]] if option in VALUES else []
    base = BASE[name].replace(" -o o", "") if "-o" in more else BASE[name]
    assert run([name, *base.split(), *more.split(), option, *value]) == 2
    said = capsys.readouterr().err
    assert re.match(rf"error: [^ ]*{option}[^ ]* does nothing {re.escape(CALLS[call])}", said)
    assert "(from" not in said


@pytest.mark.parametrize("call", USEFUL, ids=" ".join)
def test_not_refused(call: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(list(call)) != 0
    assert "does nothing" not in capsys.readouterr().err


def test_a_variable_is_for_many_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETSURGERY_TOP_K", "3")
    monkeypatch.setenv("NETSURGERY_GPU", "0")
    monkeypatch.setenv("NETSURGERY_ENGINE", "embedded")
    assert run(["convert", *PAIR]) == 1
    assert run(["classify-map", "x.png"]) == 1
    assert run(["convert", *PAIR, "--gpu", "0"]) == 2
    said = capsys.readouterr().err
    assert said.count("does nothing") == 1
    assert "--gpu does nothing with --engine embedded (from NETSURGERY_ENGINE), which" in said


def test_an_option_without_its_value_and_one_with_a_newline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["classify-map", "x.png", "--preprocess"]) == 2
    assert capsys.readouterr().err == (
        "error: --preprocess: found nothing after it, expected its value "
        "(try netsurgery classify-map --help)\n"
    )
    assert run(["classify-map", "x.png", "--engine", "x\ny"]) == 2
    assert r"--engine: found 'x\ny', expected" in capsys.readouterr().err
