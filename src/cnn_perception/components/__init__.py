"""The nodes, each written once: no ROS, no thread; a host runs them, live or in a replay.

What a component of your own needs is imported from here; docs/components.md is its tutorial.
"""

from __future__ import annotations

from cnn_perception.components.component import (
    Component,
    Done,
    Event,
    Frame,
    Input,
    Output,
    Service,
    Setup,
    Timer,
    Topic,
)
from cnn_perception.errors import ConfigError, MessageError, TransformError
from cnn_perception.messages.sync import MessageCache
from cnn_perception.settings import Config, setting
from cnn_perception.settings.parameters import NodeParameters

__all__ = [
    "Component",
    "Config",
    "ConfigError",
    "Done",
    "Event",
    "Frame",
    "Input",
    "MessageCache",
    "MessageError",
    "NodeParameters",
    "Output",
    "Service",
    "Setup",
    "Timer",
    "Topic",
    "TransformError",
    "setting",
]
