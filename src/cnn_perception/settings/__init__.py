"""Settings: one declaration from which YAML, ROS parameters, options and JSON schemas come.

A component's settings are a frozen, slotted dataclass derived from `Config`, whose fields are made
with `setting`: default, description, range or choices, and whether it may change while the
component runs. Every instance is checked when it is made, whoever makes it. The same declaration
is read strictly from YAML (`files`), declared as ROS parameters (`parameters`, `ros.params`), and
offered on the command line (`cli.options`); JSON schemas for editors and the tables of the manual
are written from it (docs/write_settings.py).
"""

from cnn_perception.settings.declaration import REQUIRED, Config, Setting, setting, settings
from cnn_perception.settings.errors import SettingError, missing, nearest, shown, unknown
from cnn_perception.settings.kinds import Kind, Line, Text
from cnn_perception.settings.parameters import NodeConfig, NodeParameters, read

__all__ = [
    "REQUIRED",
    "Config",
    "Kind",
    "Line",
    "NodeConfig",
    "NodeParameters",
    "Setting",
    "SettingError",
    "Text",
    "missing",
    "nearest",
    "read",
    "setting",
    "settings",
    "shown",
    "unknown",
]
