"""JUnit XML as continuous integration reads it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_perception.errors import BagError, ConfigError
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.junit import write_junit

PASSED = Check("frames", True, "480 frames were processed")
FAILED = Check("golden./a", False, 'a < b & "c"', 17, Path("out/failures/golden_a.png"))


def test_suites_cases_failures_and_errors(tmp_path: Path) -> None:
    file = tmp_path / "reports" / "junit.xml"
    write_junit(file, {"drive": (PASSED, FAILED), "night": BagError("no bag at night: give one")})
    assert file.read_text(encoding="utf-8").startswith('<?xml version="1.0" encoding="utf-8"?>')
    root = ElementTree.parse(file).getroot()
    assert root.attrib == {"tests": "3", "failures": "1", "errors": "1"}
    drive, night = root.findall("testsuite")
    assert drive.attrib == {"name": "drive", "tests": "2", "failures": "1", "errors": "0"}
    good, bad = drive.findall("testcase")
    assert good.attrib == {"classname": "drive", "name": "frames"}
    assert good.find("failure") is None
    assert bad.attrib == {"classname": "drive", "name": "golden./a"}
    failure = bad.find("failure")
    assert failure is not None
    assert failure.attrib == {"message": 'a < b & "c"', "type": "expectation"}
    assert failure.text == 'a < b & "c"'
    assert bad.findtext("system-out") == "[[ATTACHMENT|out/failures/golden_a.png]]"
    assert night.attrib == {"name": "night", "tests": "1", "failures": "0", "errors": "1"}
    error = night.find("testcase/error")
    assert error is not None
    assert error.attrib == {"message": "no bag at night: give one", "type": "BagError"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=20))
def test_any_text_can_be_read_back(text: str, tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    write_junit(file, {text: [Check(text, False, text)]})
    case = ElementTree.parse(file).getroot().find("testsuite/testcase")
    assert case is not None
    if text.isprintable():
        assert case.get("name") == text


def test_control_characters_are_written_out(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    write_junit(file, {"drive": [Check("a", False, "red \x1b[31m\x00 \ud800 \ufffe")]})
    failure = ElementTree.parse(file).getroot().find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.text == "red \\x1b[31m\\x00 \\ud800 \\ufffe"


def test_no_suites_are_a_file_too(tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", {})
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert root.attrib == {"tests": "0", "failures": "0", "errors": "0"}


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="name another file"):
        write_junit(tmp_path / "file" / "junit.xml", {"drive": [PASSED]})
