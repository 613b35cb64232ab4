"""Protobuf's text format: values, places, splices, and what is said of bad text."""

from __future__ import annotations

import contextlib
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsurgery.errors import PrototxtError
from netsurgery.formats.textformat import MAX_DEPTH, Edits, Message, Scalar, parse
from netsurgery.formats.texttree import respelled

MIB = 1 << 20


def only(text: str) -> Scalar:
    (field,) = parse(text).fields
    assert isinstance(field.value, Scalar)
    return field.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a: "plain"', "plain"),
        ("a: 'single'", "single"),
        ('a: "it\'s"', "it's"),
        ('a: "one" "two"', "onetwo"),
        ("a: \"one\" # why\n  'two'", "onetwo"),
        (r'a: "\n\t\\\"\x41\101\?"', '\n\t\\"AA?'),
        (r'a: "\u00e9\U0001F600"', "é😀"),
        (r'a: "\303\251"', "é"),
        ('a: ""', ""),
        ('a: "# no comment"', "# no comment"),
    ],
)
def test_strings(text: str, value: str) -> None:
    assert only(text).as_string() == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("7", 7), ("-7", -7), ("- 7", -7), ("0x1F", 31), ("010", 8), ("-0x10", -16)],
)
def test_whole_numbers(text: str, value: int) -> None:
    assert only(f"a: {text}").as_int() == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1.f", 1.0),
        ("2F", 2.0),
        ("1e-3", 1e-3),
        ("-1E+2f", -100.0),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("Infinity", math.inf),
        ("0x10", 16.0),
        ("010", 8.0),
        ("7", 7.0),
    ],
)
def test_numbers(text: str, value: float) -> None:
    assert only(f"a: {text}").as_float() == value


def test_nan_is_a_number() -> None:
    assert math.isnan(only("a: nan").as_float())


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("t", True), ("1", True), ("false", False), ("0", False)],
)
def test_booleans(text: str, value: bool) -> None:
    assert only(f"a: {text}").as_bool() is value


@pytest.mark.parametrize(
    "text",
    ["a { b: 1 }", "a: { b: 1 }", "a < b: 1 >", "a: <b: 1>", "a{b:1}", "a {\n\tb: 1;\n},"],
)
def test_every_way_to_write_a_message(text: str) -> None:
    message = parse(text).message("a")
    assert message is not None
    assert message.integer("b", 0) == 1


def test_a_list_is_its_elements() -> None:
    root = parse("dim: [1, 2,3] dim: 4 m: [{a: 1}, <a: 2>] e: []")
    assert [scalar.as_int() for scalar in root.scalars("dim")] == [1, 2, 3, 4]
    assert [message.integer("a", 0) for message in root.messages("m")] == [1, 2]
    assert [field.in_list for field in root.all("dim")] == [True, True, True, False]
    assert root.all("e") == []


def test_an_empty_list_is_no_field_but_has_its_place() -> None:
    text = "a: 1 e: [ # none\n ] m: [{ e: [] }] a: [2, 3] e [];"
    root = parse(text)
    assert root.all("e") == []
    assert root.scalars("e") == []
    assert [text[start:end] for start, end in root.places("e")] == ["e: [ # none\n ]", "e []"]
    assert [text[start:end] for start, end in root.places("a", "m")] == [
        "a: 1",
        "m: [{ e: [] }]",
        "a: [2, 3]",
    ]
    (message,) = root.messages("m")
    assert [text[start:end] for start, end in message.places("e")] == ["e: []"]


def test_messages_in_a_list_need_no_colon() -> None:
    assert [m.integer("a", 0) for m in parse("m [{a: 1}, <a: 2>]").messages("m")] == [1, 2]
    with pytest.raises(PrototxtError, match="found 1, expected : or "):
        parse("m [1]")


def test_places_are_the_authors() -> None:
    text = "# top\nlayer {\r\n  name: 'x' # mine\n  dim: [1, 20]\n}\n"
    (layer,) = parse(text).fields
    assert isinstance(layer.value, Message)
    assert text[layer.start : layer.end].startswith("layer {")
    assert text[layer.value.start] == "{"
    assert text[layer.value.end - 1] == "}"
    assert [f.value.source.text[f.value.start : f.value.end] for f in layer.value.fields] == [
        "'x'",
        "1",
        "20",
    ]
    assert {f.end for f in layer.value.fields[1:]} == {text.index("]") + 1}


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        ("a", 1, 2, "found the end of the file, expected : or { after a"),
        ("a b", 1, 3, "found b, expected : or { after a"),
        ("a:", 1, 3, "found the end of the file, expected a value for a"),
        ("a: ]", 1, 4, "found ], expected a value for a"),
        ("a: -", 1, 5, "found the end of the file, expected a number after -"),
        ("a: -'x'", 1, 5, "found 'x', expected a number after -"),
        ("layer {\n  name: 'x'\n", 1, 7, "this message is never closed with }"),
        ("a { b: 1 >", 1, 10, "found >, expected a field name or }"),
        ("}", 1, 1, "found }, expected a field name"),
        ("a: 1\n b: $", 2, 5, "a stray '$'; expected a field name or a value"),
        ('a: "open\n', 1, 4, "a string that does not end on its line"),
        (f'a: "{100_001 * (chr(92) + "n")}"', 1, 4, "a string that has over 100000 escapes"),
        ("a: [1 2]", 1, 7, "found 2, expected , or ]"),
        ("a: 1x", 1, 5, "letters right after a number; put a space between"),
        ("[ext]: 1", 1, 1, "found [, expected a field name"),
        ("a: 1 \ufeff", 1, 6, "a byte order mark in the middle of the text"),
        ("a: \x00", 1, 4, "a stray '\\x00'; expected a field name or a value"),
    ],
)
def test_bad_text(text: str, line: int, column: int, what: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        parse(text, "net.prototxt")
    assert str(caught.value) == f"net.prototxt:{line}:{column}: {what}"
    assert caught.value.caret.split("\n")[1] == " " * (column - 1) + "^"


@pytest.mark.parametrize(
    ("text", "read", "what"),
    [
        ("a: 1.5", "as_int", "found 1.5, expected a whole number"),
        ("a: 'x'", "as_int", "found 'x', expected a whole number"),
        ("a: x", "as_float", "found x, expected a number"),
        ("a: '1'", "as_float", "found '1', expected a number"),
        ("a: maybe", "as_bool", "found maybe, expected true or false"),
        ("a: 'true'", "as_bool", "found 'true', expected true or false"),
        ("a: 3", "as_string", "found 3, expected a quoted string"),
        ("a: 'MAX'", "as_word", "found 'MAX', expected a bare word"),
        ("a: 99999999999999999999", "as_int", None),
        (r"a: '\q'", "as_string", None),
        (r"a: '\U00110000'", "as_string", None),
    ],
)
def test_bad_values(text: str, read: str, what: str | None) -> None:
    with pytest.raises(PrototxtError) as caught:
        getattr(only(text), read)()
    if what:
        assert str(caught.value) == f"<text>:1:4: {what}"


def test_a_field_given_twice_is_an_error() -> None:
    with pytest.raises(PrototxtError, match=r"<text>:2:1: a is given twice here"):
        parse("a: 1\na: 2").scalar("a")


def test_a_message_where_a_value_belongs_and_the_reverse() -> None:
    with pytest.raises(PrototxtError, match="found a message, expected a value for a"):
        parse("a { }").scalar("a")
    with pytest.raises(PrototxtError, match=r"found 1, expected a \{ ... \}"):
        parse("a: 1").message("a")


def test_nesting_is_bounded() -> None:
    parse("a {" * MAX_DEPTH + "}" * MAX_DEPTH)
    with pytest.raises(PrototxtError, match=f"nested deeper than {MAX_DEPTH} messages"):
        parse("a {" * 100_000)


def test_edits_are_made_together() -> None:
    root = parse("a: 1 b: 2 c: 3")
    edits = Edits(root.source)
    for name, value in (("c", "30"), ("a", "100")):
        scalar = root.scalar(name)
        assert scalar is not None
        edits.replace(scalar.start, scalar.end, value)
    edits.insert(root.fields[1].end, " x: 0")
    edits.insert(root.fields[1].end, " y: 0")
    assert edits.apply() == "a: 100 b: 2 x: 0 y: 0 c: 30"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1 b: 2\n c: 3 \n", "a: 1\n c: 3 \n"),
        ("a: 1 b: 2\r\n", "a: 1\r\n"),
        ("a: 1\n\tb: 2", "a: 1\n"),
        ("a: 1 b: 2 c: 3\n", "a: 1  c: 3\n"),
        ("b: 2\n", "\n"),
    ],
)
def test_an_edit_leaves_no_blanks_at_the_end_of_its_line(text: str, expected: str) -> None:
    root = parse(text)
    edits = Edits(root.source)
    for start, end in root.places("b"):
        edits.replace(start, end, "")
    assert edits.apply() == expected


def test_edits_that_overlap_are_refused() -> None:
    edits = Edits(parse("a: 12345").source)
    edits.replace(3, 6, "x")
    edits.replace(3, 6, "x")
    with pytest.raises(ValueError, match="two different edits"):
        edits.replace(3, 6, "y")
    edits.replace(5, 8, "z")
    with pytest.raises(ValueError, match="overlap"):
        edits.apply()


@given(st.text(alphabet="ab:{}<>[]\"'#,;-. 1\n\\\t", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    bad = None
    try:
        assert Edits(parse(text).source).apply() == text
    except PrototxtError as error:
        bad = error
    assert bad is None or (1 <= bad.line <= text.count("\n") + 1 and bad.column >= 1)


def tree(message: Message) -> object:
    """All of a message: names, places and texts."""
    return (
        message.start,
        message.end,
        [
            (
                field.name,
                field.start,
                field.end,
                field.in_list,
                tree(field.value)
                if isinstance(field.value, Message)
                else (field.value.kind, field.value.start, field.value.end, field.value.text),
            )
            for field in message.fields
        ],
        message.empty_lists,
    )


@given(st.lists(st.sampled_from(["1", "22", "4321", "0x1f"]), min_size=5, max_size=5))
def test_respelling_is_parsing_the_new_text(new: list[str]) -> None:
    form = 'a: {} # one\nb {{ dim: [{}, {}] c <d: {};>, e: [] f: "s" }}\ninput_dim:{}\ng: true'
    root = parse(form.format(*["100"] * 5), "n.prototxt")
    numbers = [scalar for scalar in scalars(root) if scalar.kind == "number"]
    respelled_root = respelled(root, dict(zip(numbers, new, strict=True)))
    assert respelled_root.source.text == form.format(*new)
    assert tree(respelled_root) == tree(parse(form.format(*new)))
    assert respelled_root.source.path == "n.prototxt"
    assert root.source.text == form.format(*["100"] * 5)


def scalars(message: Message) -> list[Scalar]:
    collected: list[Scalar] = []
    for field in message.fields:
        collected += scalars(field.value) if isinstance(field.value, Message) else [field.value]
    return collected


@pytest.mark.parametrize(
    "text",
    [
        f'name: "{MIB * "x"}"',
        f"name: '{MIB * 'x'}",
        f'name: "{50_000 * (chr(92) + "n")}{MIB * "x"}"',
        MIB // 2 * "#\n",
        MIB // 2 * " #\n" + "a: 1",
        MIB * "x",
        MIB * "1",
    ],
    ids=["name", "unclosed", "escapes", "comments", "blanks", "word", "number"],
)
def test_what_tokens_take(text: str) -> None:
    tracemalloc.start()
    try:
        with contextlib.suppress(PrototxtError):
            parse(text)
        assert tracemalloc.get_traced_memory()[1] < 50 * MIB
    finally:
        tracemalloc.stop()
