"""What inspect, check, diff and verify return: the command's JSON, a line, and HTML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netsurgery as ns
from netsurgery.cli import run

#: Messages are compared as the command words them.
pytestmark = pytest.mark.usefixtures("option_names")

NAME = "a<b>&c"
NET = f"""name: "{NAME}" input: "x" input_shape {{ dim: [1, 1, 6, 6] }}
layer {{ name: "conv{NAME}" type: "Convolution" bottom: "x" top: "c"
  convolution_param {{ num_output: 2 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "c" top: "fc"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
"""
ONE, OTHER = ("net", "m"), ("other", "n")

#: The words of a command -> the call that does the same.
CALLS: dict[str, Callable[[], Any]] = {
    "inspect net": lambda: ns.inspect("net"),
    "inspect m": lambda: ns.inspect("m"),
    "inspect net m --field --stats --size 8": lambda: ns.inspect(
        *ONE, sizes={"x": (8, 8)}, fields=True, statistics=True
    ),
    "inspect m --param fc[0][1]": lambda: ns.inspect_param("m", "fc[0][1]"),
    "check net m": lambda: ns.check(*ONE),
    "check broken m": lambda: ns.check("broken", "m"),
    "diff net net": lambda: ns.diff("net", "net"),
    "diff net other m n --text": lambda: ns.diff(ONE, OTHER, text=True),
    "verify net m net m --engine embedded": lambda: ns.verify(ONE, ONE, engine="embedded"),
    "verify net m net n --engine embedded --random 2": lambda: ns.verify(
        ONE, ("net", "n"), random=2, engine="embedded"
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net").write_text(NET)
    Path("other").write_text(NET.replace('name: "fc"', 'name: "new<i>"'))
    Path("broken").write_text(NET.replace("kernel_size", "kernel_sise"))
    for net, weights in (("net", "m"), ("net", "n")):
        assert run(["init", net, "-o", weights, "--seed", str(ord(weights)), "-q"]) == 0
    return tmp_path


@pytest.mark.parametrize("words", CALLS)
def test_the_json_of_the_command_is_to_json(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run([*words.split(), "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out) == CALLS[words]().to_json()


@pytest.mark.parametrize("words", CALLS)
def test_as_text_it_is_short_and_what_the_command_prints_first(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = str(CALLS[words]())
    assert len(text.splitlines()) < 10
    assert len(text) < 600
    capsys.readouterr()
    run(words.split())
    out = capsys.readouterr().out
    if words.startswith("inspect") and "--param" not in words:
        # `inspect` prints its table, and the totals at the end.
        totals = text.partition(": ")[2].partition("; ")[0]
        assert totals
        assert out.endswith(f"\ntotal: {totals}\n")
    else:
        assert out.startswith(text)


@pytest.mark.parametrize("words", CALLS)
def test_as_html_the_verdict_comes_first_and_names_are_escaped(words: str) -> None:
    result = CALLS[words]()
    html = result._repr_html_()
    assert html.startswith("<p>")
    assert "<b>" not in html
    assert "<i>" not in html
    assert html.count("<table>") == html.count("</table>")
    if "net m" in words and words.startswith("inspect"):
        assert "conva&lt;b&gt;&amp;c" in html


def test_the_table_of_a_net_is_that_of_inspect() -> None:
    with ns.Net(*ONE) as net:
        table = net._repr_html_().partition("\n")[2]
    assert table == ns.inspect(*ONE)._repr_html_().partition("\n")[2]
    assert table.startswith("<table>")


@pytest.mark.parametrize(
    "print_it",
    [
        lambda: ns.upgrade("net", "-"),
        lambda: ns.init("net", "-"),
        lambda: ns.transplant(ONE, OTHER, "-"),
        lambda: ns.export_onnx("net", "m", "-"),
        lambda: ns.edit("net", "m", "fc[1]=zero", "-"),
    ],
    ids=["upgrade", "init", "transplant", "export", "edit"],
)
def test_standard_output_is_no_file_that_was_written(
    print_it: Callable[[], Any], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with print_it() as result:
        text = str(result)
    assert capfdbinary.readouterr().out
    assert text
    assert "wrote" not in text
