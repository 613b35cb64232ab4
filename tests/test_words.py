"""Plain words: locals that say what they are, and the field's own terms in text."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "netsurgery"
#: Names that fit any value and so say nothing about this one.
VAGUE = {"found", "given", "here", "kept", "made", "one", "other", "there", "told", "wanted"}
#: What reads as translated, with what to write instead.
PHRASES = {
    r"\b(un)?told\b|\btells?\b": "report, say, name, distinguish",
    r"\b(has|have|had) not\b(?! been)": "does not have",
    r"\blet(s|ting)? go of\b": "close, release",
    r"\bon the wire\b": "at the protobuf level",
    r"\banew\b": "again, from scratch",
    r"\breckon(s|ed|ing)?\b": "estimate, count",
    r"\bcentr(es?|ed|ing)\b": "center, spelt as color is",
    # "a file that is no net"; "there is no net" and "no longer" are fine.
    r"(?<!there )\b(is|are) no (?=net|layer|map|picture|number|caffemodel|blob|text)": "is not a",
}


def modules() -> list[Path]:
    folders = ("netsurgery", "benchmarks", "schema", "docs", "examples", "tests")
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [path for path in paths if path != Path(__file__)]  # which quotes what is avoided


def documents() -> list[Path]:
    folders = ("docs", "examples", ".github")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *files, *(ROOT / "man").glob("*.1")])


def assigned(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    """The names of a function's parameters and of what it assigns, inner functions' included."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name


def vague_names(source: str) -> list[str]:
    """`function: name` for each vague name of a local or of a function itself."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            locals_ = {node.name.strip("_"), *assigned(node)} & VAGUE
            names += [f"{node.name}: {name}" for name in sorted(locals_)]
    return names


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of every comment and string; of a document, every paragraph."""
    if path.suffix != ".py":
        line = 1
        for paragraph in re.split(r"(?<=\n)\s*\n", path.read_text(encoding="utf-8")):
            yield line, paragraph
            line += paragraph.count("\n") + 1
        return
    last, start, parts = 0, 0, list[str]()
    with open(path, "rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in (tokenize.STRING, tokenize.COMMENT):
                # What is only a line's end between two strings, or two comments, parts neither.
                if token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT) and parts:
                    yield start, " ".join(parts)
                    last, parts = 0, []
                continue
            if parts and token.type != last:
                yield start, " ".join(parts)
                parts = []
            if not parts:
                last, start = token.type, token.start[0]
            parts.append(re.sub(r"^(#:?|\w{0,2}[\"']+)|[\"']+$", "", token.string).strip())


#: Any of the phrases, whatever stands around it.
ANY_PHRASE = re.compile("|".join(re.sub(r"\(\?<?![^)]*\)", "", each) for each in PHRASES), re.I)


def may_be_odd(path: Path) -> bool:
    """Whether a phrase to avoid is among a file's words, whatever parts them: seldom, soon seen."""
    source = re.sub(r"\b[bfru]{1,2}(?=[\"'])", "", path.read_text(encoding="utf-8"), flags=re.I)
    words = re.sub(r"\W+", " ", source)
    return ANY_PHRASE.search(f"{words} ") is not None


def odd_phrases(path: Path) -> list[str]:
    """`line: phrase (instead: ...)` for each phrase to avoid."""
    if not may_be_odd(path):
        return []
    return [
        f"{path}:{line}: {match[0]!r}; instead: {plain}"
        for line, text in texts(path)
        for phrase, plain in PHRASES.items()
        for match in re.finditer(phrase, " ".join(text.split()), re.IGNORECASE)
    ]


def test_locals_say_what_they_are() -> None:
    vague = [
        f"{path}: {name}"
        for path in modules()
        for name in vague_names(path.read_text(encoding="utf-8"))
    ]
    assert not vague, "\n".join(vague)


def test_texts_use_the_usual_terms() -> None:
    odd = [phrase for path in [*modules(), *documents()] for phrase in odd_phrases(path)]
    assert not odd, "\n".join(odd)


def shapes_by_hand(source: str) -> list[str]:
    """Each ``"x".join(...)`` and f"{a}x{b}" of a module."""
    sites = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "join":
            if isinstance(node.value, ast.Constant) and str(node.value.value).strip() == "x":
                sites.append(f"{node.lineno}: join")
        elif isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else None for p in node.values]
            for before, text, after in zip(parts, parts[1:], parts[2:], strict=False):
                if before is None and after is None and str(text).strip() == "x":
                    sites.append(f"{node.lineno}: f-string")
    return sites


def test_shapes_are_printed_by_one_function() -> None:
    own = {PACKAGE / "io" / "shape_text.py"}
    own.add(PACKAGE / "engines" / "caffe_worker.py")  # runs alone, under Caffe's own Python
    own.add(PACKAGE / "open_net" / "blobs.py")  # writes patterns, "N x 3 x H x W"
    sites = {
        str(path): shapes_by_hand(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
        if path not in own
    }
    assert {path: lines for path, lines in sites.items() if lines} == {}
    assert all(shapes_by_hand(path.read_text(encoding="utf-8")) for path in own)


def test_one_name_means_one_thing() -> None:
    """No two modules define a class of one name, or a type of one name otherwise."""
    meanings: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                meanings.setdefault(node.name, set()).add(f"class of {path}")
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
                target = node.target
            if isinstance(target, ast.Name) and re.match(r"_?[A-Z]\w*[a-z]", target.id):
                meanings.setdefault(target.id, set()).add(ast.unparse(node).partition("=")[2])
    assert {name: which for name, which in meanings.items() if len(which) > 1} == {}


def test_what_is_looked_for_is_seen(tmp_path: Path) -> None:
    assert vague_names("def f(one):\n    found = [made for made in one]") == [
        "f: found",
        "f: made",
        "f: one",
    ]
    assert vague_names("def _told(): pass") == ["_told: told"]
    by_hand = shapes_by_hand('f"{a}x{b}"; " x ".join("12"); f"{a:g} x {b}"; f"{a}, {b}"')
    assert sorted(by_hand) == ["1: f-string", "1: f-string", "1: join"]
    file = tmp_path / "a.py"
    file.write_text("# the net has\n# not\nx = 'it has '\\\n    'not'\n# has\ny = 'not'\n")
    assert len(odd_phrases(file)) == 2
    file.write_text('"""What the layer has\nnot; it is told."""\n')
    assert len(odd_phrases(file)) == 2
