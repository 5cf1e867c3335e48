"""A network looked into without changing it: what layers answer, and other rules for ReLU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cnn_perception.errors import ConfigError

__all__ = [
    "Recording",
    "ReluRule",
    "examined",
    "gradient",
    "hooked",
    "recorded",
    "relu_rule",
    "the_tensor",
]


@contextmanager
def examined(network: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode, its weights frozen, with gradients on.

    Modes and `requires_grad` are put back whatever happens. Gradients are to be taken with
    torch.autograd.grad, so that no `.grad` is touched.
    """
    modes = [(module, module.training) for module in network.modules()]
    learning = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for module, _ in modes:
            module.training = False
        for parameter, _ in learning:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, learns in learning:
            parameter.requires_grad_(learns)


@contextmanager
def hooked(modules: Iterable[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    """Let a hook see, and change, what modules answer inside: hook(module, inputs, output)."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def the_tensor(output: Any, layer: str) -> Tensor:
    """Return what a layer answers; raises ConfigError unless it is one tensor."""
    if isinstance(output, Tensor):
        return output
    raise ConfigError(
        f"layer {layer} answers with a {type(output).__name__}, not with one tensor: choose a "
        "layer within it"
    )


@dataclass
class Recording:
    """What a layer answered, call by call; each answer is a leaf that gradients can be asked for.

    name: of the layer, for messages.
    """

    name: str
    outputs: list[Tensor] = field(default_factory=list)

    @property
    def maps(self) -> Tensor:
        """The last answer, feature maps (B, K, h, w); raises ConfigError where there are none."""
        if not self.outputs:
            raise ConfigError(f"layer {self.name} has no part in the answer: choose another")
        maps = self.outputs[-1]
        if maps.dim() != 4:
            raise ConfigError(
                f"layer {self.name} answers with shape {tuple(maps.shape)}, not with maps "
                "(B, K, h, w): choose a convolution or what follows one"
            )
        return maps


@contextmanager
def recorded(network: nn.Module, name: str) -> Iterator[Recording]:
    """Record the answers of one layer of a network, given its dotted name.

    The layers above see a copy, so that one that works in place does not spoil the recording.
    Raises ConfigError at the forward pass where the answer is no tensor.
    """
    recording = Recording(name)

    def record(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        leaf = the_tensor(output, name).detach().requires_grad_()
        recording.outputs.append(leaf)
        return leaf.clone()

    with hooked([network.get_submodule(name)], record):
        yield recording


def gradient(value: Tensor, source: Tensor, name: str) -> Tensor:
    """Return the gradient of a number with respect to a tensor, in its shape.

    name: what to call the source when it has no part in the value, which raises ConfigError.
    """
    if value.requires_grad:
        (found,) = torch.autograd.grad(value, source, allow_unused=True)
        if found is not None:
            return found
    raise ConfigError(f"{name} has no part in the target: choose a layer between it and the image")


class ReluRule(Enum):
    """How a gradient g passes back through max(x, 0), where plainly it does if x > 0."""

    GUIDED = "guided"
    """If x > 0 and g > 0 (Springenberg et al. 2015)."""
    DECONVNET = "deconvnet"
    """If g > 0, whatever x (Zeiler and Fergus 2014)."""


@contextmanager
def relu_rule(rule: ReluRule) -> Iterator[None]:
    """Let every ReLU that runs inside follow another rule, module or function, in place or not.

    A ReLU6 does too; where it is at its ceiling, only deconvnet's gradient passes. Activations of
    other kinds (hard swish, GELU ...) keep their own derivatives. No module is touched: calls are
    intercepted.
    """
    with _Intercepted(rule):
        yield


_RELUS = (functional.relu, torch.relu, Tensor.relu)
_RELUS_IN_PLACE = (functional.relu_, torch.relu_, Tensor.relu_)


class _Intercepted(TorchFunctionMode):
    """Puts `_Relu` in the place of each ReLU."""

    def __init__(self, rule: ReluRule) -> None:
        super().__init__()
        self._rule = rule

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        ceiling = _ceiling(function, args, kwargs)
        if ceiling is None:
            return function(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        result = _Relu.apply(x, ceiling, self._rule)
        # A caller of these may go on with x instead of with what is returned.
        return x.copy_(result) if function in _RELUS_IN_PLACE else result


def _ceiling(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """Return the most that a function lets pass of what is above 0; None for what is no ReLU."""
    if function in _RELUS or function in _RELUS_IN_PLACE:
        return torch.inf
    if function is functional.relu6:
        return 6.0
    if function is functional.hardtanh:  # nn.ReLU6 is one
        low, high = (*args[1:3], kwargs.get("min_val", -1.0), kwargs.get("max_val", 1.0))[:2]
        return float(high) if low == 0 else None
    return None


class _Relu(torch.autograd.Function):
    """min(max(x, 0), ceiling) with a rule of its own for gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float, rule: ReluRule) -> Tensor:
        if rule is ReluRule.GUIDED:
            ctx.save_for_backward((x > 0) & (x < ceiling))
        return x.clamp(0.0, ceiling)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        passed = gradient.clamp(min=0.0)
        for mask in ctx.saved_tensors:
            passed = passed * mask
        return passed, None, None
