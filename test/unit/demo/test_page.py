"""The report says what happened, and needs nothing but itself."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.demo.outcome import DemoOutcome, NodeOutcome
from cnn_perception.demo.page import render_page
from cnn_perception.demo.pictures import Moment, contact_sheet
from html_checker import HtmlChecker

SPAN_NS = (4_000_000_000, 5_500_000_000)


def report(received: int, model: str = "rooms_ssdlite") -> NodeOutcome:
    return NodeOutcome.from_diagnostics(
        "detector",
        {
            "received": str(received),
            "processed": str(received - 2),
            "dropped.superseded": "2",
            "latency_p50_ms": "4.5",
            "model": model,
            "provider": "CPUExecutionProvider",
        },
    )


def page(faults: tuple[str, ...] = (), model: str = "rooms_ssdlite") -> HtmlChecker:
    names = ("detector", "mapper")
    outcome = DemoOutcome(
        nodes={name: report(10, model) for name in names},
        topics={"/detector/detections": 8},
        sent={"/image": 11},
        main_input=dict.fromkeys(names, "/image"),
        faults=faults,
    )
    picture = np.full((24, 32, 3), 90, np.uint8)
    moments = [Moment(5_000_000_000, {"camera": picture, "mask": picture})]
    latencies = {"detector": [(0.0, 5.0), (0.1, 7.0), (0.2, 400.0)], "explainer": []}
    return HtmlChecker(
        render_page("a drive", outcome, moments, {"top": picture}, latencies, SPAN_NS)
    )


def test_the_page_is_complete_and_self_contained() -> None:
    checker = page()
    assert "every output came, every frame is accounted for" in checker.texts
    assert "2 superseded" in checker.texts
    assert "camera, 1.0 s" in checker.texts
    assert "/detector/detections" in checker.texts
    assert any("median 7.0" in text for text in checker.texts)
    assert len(checker.loads) == 3
    assert all(target.startswith("data:image/") for target in checker.loads)


def test_faults_are_shown() -> None:
    checker = page(faults=("nothing came on /tf",))
    assert "1 fault(s)" in checker.texts
    assert "nothing came on /tf" in checker.texts


def test_names_are_text_not_markup() -> None:
    checker = page(model="<script>alert(1)</script>")
    assert any("<script>alert(1)</script>" in text for text in checker.texts)


@pytest.mark.parametrize("count", [1, 3])
def test_the_contact_sheet_has_a_row_for_each_moment(count: int) -> None:
    colors = {"camera": 10, "detections": 120, "map so far": 240}
    moments = [
        Moment(index, {name: np.full((48, 64, 3), v, np.uint8) for name, v in colors.items()})
        for index in range(count)
    ]
    moments[0] = Moment(0, {name: moments[0].pictures[name] for name in ("camera", "detections")})
    sheet = contact_sheet(moments if count > 1 else [*moments, moments[0]])
    rows = max(count, 2)
    assert sheet.shape[1] == (3 if count > 1 else 2) * (64 + 6) + 6
    for index in range(rows):
        top = 28 + index * (48 + 6)
        assert (sheet[top : top + 48, 6:70] == 10).all()
        assert (sheet[top : top + 48, 76:140] == 120).all()
