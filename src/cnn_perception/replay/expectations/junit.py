"""Checks as JUnit XML, which GitHub, GitLab and Jenkins show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.replay.expectations.check import Check

__all__ = ["write_junit"]

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot say, not even escaped."""


def write_junit(path: Path, suites: Mapping[str, Sequence[Check] | PerceptionError]) -> None:
    """Write the checks of each bag, by its name; an error where a bag could not be replayed.

    Pictures are named as ``[[ATTACHMENT|file]]``, which GitLab and Jenkins show. Raises ConfigError
    for a file that cannot be written.
    """
    root = ElementTree.Element("testsuites")
    for name, checks in suites.items():
        root.append(
            _broken(name, checks) if isinstance(checks, Exception) else _suite(name, checks)
        )
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n', encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write {path} ({error.strerror or error}): name another file"
        ) from error


def _suite(name: str, checks: Sequence[Check]) -> ElementTree.Element:
    suite = _element("testsuite", name=name, tests=str(len(checks)), errors="0")
    suite.set("failures", str(sum(not check.passed for check in checks)))
    for check in checks:
        case = _element("testcase", classname=name, name=check.name)
        if not check.passed:
            failure = _element("failure", message=check.message, type="expectation")
            failure.text = _clean(check.message)
            case.append(failure)
        lines = [check.message] if check.passed else []
        if check.picture is not None:
            lines.append(f"[[ATTACHMENT|{check.picture}]]")
        if lines:
            out = _element("system-out")
            out.text = _clean("\n".join(lines))
            case.append(out)
        suite.append(case)
    return suite


def _broken(name: str, error: PerceptionError) -> ElementTree.Element:
    suite = _element("testsuite", name=name, tests="1", failures="0", errors="1")
    case = _element("testcase", classname=name, name="replay")
    cause = _element("error", message=str(error), type=type(error).__name__)
    cause.text = _clean(str(error))
    case.append(cause)
    suite.append(case)
    return suite


def _element(tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(tag, {key: _clean(value) for key, value in attributes.items()})


def _clean(text: str) -> str:
    """Return a text in which what XML cannot say is written as in Python, such as \\x1b."""
    return _ILLEGAL.sub(lambda match: ascii(match.group())[1:-1], text)
