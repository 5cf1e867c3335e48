"""The sweep on whatever depth images there may be: the map of rays walked one by one."""

from __future__ import annotations

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from depth_scenes import differences, map_by_rays, map_by_sweep, random_scene


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_equals_walked_rays(seed: int) -> None:
    scene = random_scene(seed)
    swept = map_by_sweep(scene)
    if swept is None:
        reject()
    walked = map_by_rays(scene)
    assert differences(swept[0], walked[0]) == 0
    assert swept[1] == walked[1]
