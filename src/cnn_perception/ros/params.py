"""ROS parameters made from the core's configuration classes: names, ranges and defaults, once."""

from __future__ import annotations

from collections.abc import Mapping

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from cnn_perception.errors import ConfigError
from cnn_perception.settings import Setting, nearest

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
        raise ConfigError(
            f"unknown parameter {name!r} of {node.get_fully_qualified_name()}: "
            f"{nearest(name, known)}"
        )


def _type_hint(setting: Setting) -> str:
    if setting.type is float:
        return f"write a number with a point, such as {float(setting.default)}"
    return f"give {setting.kind.wanted}"


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=setting.description)
    if setting.choices is not None:
        descriptor.additional_constraints = f"one of: {', '.join(setting.choices)}"
    low, high = setting.minimum, setting.maximum
    if low is not None and high is not None:
        if setting.type is float:
            limits = FloatingPointRange(from_value=float(low), to_value=float(high))
            descriptor.floating_point_range = [limits]
        else:
            whole = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            descriptor.integer_range = [whole]
    return descriptor
