"""Caffe's own words, out of everything it printed."""

from __future__ import annotations

import os
import signal

import pytest

from netsurgery.engines.worker_log import LastWords, caffe_words, gone_because

NOISE = (
    "WARNING: Logging before InitGoogleLogging() is written to STDERR\n"
    "I1120 14:07:27.965613  5566 net.cpp:53] Initializing net from parameters:\n"
)
TRACE = "*** Check failure stack trace: ***\n    @     0x7f6a1 google::LogMessage::Fail()\n"


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("", ""),
        (NOISE + "F1120 14:07:27.9  5566 net.cpp:60] Check failed: a == b (1 vs. 2) \n" + TRACE,
         "Check failed: a == b (1 vs. 2) (net.cpp:60)"),
        # Newer glog prints the year.
        ("F20231120 14:07:27.965665 140123 net.cpp:60] Check failed: a\n",
         "Check failed: a (net.cpp:60)"),
        # A message of several lines, ended by another thread's.
        ("F1120 14:07:27.9  5566 net.cpp:60] Check failed: a\n  first\n\n  second\n"
         "I1120 14:07:27.9  5567 net.cpp:53] other\n" + TRACE,
         "Check failed: a first second (net.cpp:60)"),
        ("[libprotobuf ERROR google/protobuf/text_format.cc:317] Error parsing: 2:17: no\n"
         "[libprotobuf WARNING google/protobuf/io/coded_stream.cc:81] large\n"
         "F1120 14:07:27.9  5566 upgrade_proto.cpp:90] Check failed: Read() Failed\n" + TRACE,
         "Check failed: Read() Failed (upgrade_proto.cpp:90); Error parsing: 2:17: no"),
        ("some words\nterminate called after throwing an instance of 'std::bad_alloc'\n"
         "  what():  std::bad_alloc\n",
         "terminate called after throwing an instance of 'std::bad_alloc' "
         "what(): std::bad_alloc"),
        ("Traceback (most recent call last):\n  File\nKeyError: 'x'\n\n", "KeyError: 'x'"),
        ("F1120 14:07:27.9  5566 a.cpp:1] " + 700 * "x", 600 * "x" + " ..."),
    ],
)  # fmt: skip
def test_words(printed: str, words: str) -> None:
    assert caffe_words(printed) == words


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (-signal.SIGABRT, "Caffe gave up loading a: no"),
        (134, "Caffe gave up loading a: no"),  # through a launcher written in shell
        (-signal.SIGSEGV, "Caffe's process was killed by SIGSEGV while loading a: no"),
        (139, "Caffe's process was killed by SIGSEGV while loading a: no"),
        (1, "Caffe's process ended with status 1 while loading a: no"),
        (-40, "Caffe's process was killed by signal 40 while loading a: no"),
        (200, "Caffe's process ended with status 200 while loading a: no"),
    ],
)
def test_endings(status: int, message: str) -> None:
    assert gone_because(status, "loading a", "no\n") == message


def test_words_are_kept_where_nobody_can_be_shown_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    reader, writer = os.pipe()
    os.write(writer, b"no")
    words = LastWords(os.fdopen(reader, "rb"), live=True)
    os.close(writer)
    words.finish()
    assert words.text() == "no"
