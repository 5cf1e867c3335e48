"""ROS parameters made from the core's configuration classes: names, ranges and defaults, once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from cnn_perception.config import Setting
from cnn_perception.errors import ConfigError

__all__ = ["declare"]


def declare(node: Node, settings: Mapping[str, Setting]) -> None:
    """Declare settings as parameters by their ROS names.

    Raises ConfigError when a value given at the start has the wrong type, lies outside its range or
    is for no declared parameter.
    """
    for name, setting in settings.items():
        default = list(setting.default) if setting.is_list else setting.default
        try:
            value = node.declare_parameter(name, default, _descriptor(setting)).value
        except InvalidParameterTypeException as error:
            raise ConfigError(f"{error}: {_type_hint(setting)}") from error
        except InvalidParameterValueException as error:
            raise ConfigError(str(error)) from error
        setting.check(value)
    _refuse_unknown(node)


def _refuse_unknown(node: Node) -> None:
    """Raise ConfigError for a value that was given at the start for no declared parameter."""
    for name in node._parameter_overrides:
        if node.has_parameter(name) or name.startswith("qos_overrides."):
            continue
        known = sorted(node._parameters)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(
            f"unknown parameter {name!r} of {node.get_fully_qualified_name()}: {hint}"
        )


def _type_hint(setting: Setting) -> str:
    if setting.type is float:
        return f"write a number with a point, such as {float(setting.default)}"
    if setting.is_list:
        return "give a list of strings"
    return f"give a {setting.type.__name__}"


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=setting.description)
    if setting.choices is not None:
        descriptor.additional_constraints = f"one of: {', '.join(setting.choices)}"
    if setting.minimum is not None and setting.maximum is not None:
        if setting.type is float:
            descriptor.floating_point_range = [
                FloatingPointRange(
                    from_value=float(setting.minimum), to_value=float(setting.maximum)
                )
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(setting.minimum), to_value=int(setting.maximum), step=1)
            ]
    return descriptor
