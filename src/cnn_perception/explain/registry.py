"""The methods of ``cnn-perception explain``: one entry each, out of which all lists are made.

A further method is a function in a module of `explain.methods`, and an entry here. Nothing heavy is
imported before a method runs.
"""

from __future__ import annotations

import inspect
from enum import Enum
from importlib import import_module
from typing import Any

__all__ = ["Method", "Shows"]


class Shows(Enum):
    """What a method answers with."""

    HEAT = "a map (h, w) of what speaks for the class"
    SIGNED = "a map of either sign"
    GRADIENT = "gradients (H, W) or (H, W, 3), of which a few pixels are far above the others"
    SHEET = "a picture of its own and its key, shown beside the photo"
    POINTS = "the places of many pictures"
    IMAGE = "an image that is sought for"
    ALL = "what all methods of one picture answer"


class Method(str, Enum):
    """How to explain: the name on the command line, the function, what it shows, and notes.

    The function is ``module.function`` below `explain.methods`. Notes: "layer" for what is of one
    layer, "no picture" for what needs none.
    """

    gradcam = "gradcam", "grad_cam.grad_cam", Shows.HEAT, "layer"
    gradcam_plus_plus = "gradcam++", "grad_cam.grad_cam_plus_plus", Shows.HEAT, "layer"
    guided_gradcam = "guided-gradcam", "gradients.guided_grad_cam", Shows.GRADIENT, "layer"
    guided = "guided", "gradients.guided_backpropagation", Shows.GRADIENT
    deconvnet = "deconvnet", "gradients.deconvnet", Shows.GRADIENT
    saliency = "saliency", "gradients.saliency", Shows.GRADIENT
    occlusion = "occlusion", "occlusion.occlusion", Shows.SIGNED
    cam = "cam", "grad_cam.class_activation_map", Shows.SIGNED, "layer"
    activations = "activations", "layer_pictures.activation_sheet", Shows.SHEET, "layer"
    filters = "filters", "layer_pictures.filter_sheet", Shows.SHEET, "no picture"
    maximisation = "maximisation", "maximisation.maximise", Shows.IMAGE, "no picture"
    pca = "pca", "embedding.pca_points", Shows.POINTS
    tsne = "tsne", "embedding.t_sne_points", Shows.POINTS
    all = "all", "", Shows.ALL

    shows: Shows
    of_layer: bool
    without_picture: bool
    path: str

    def __new__(cls, name: str, path: str, shows: Shows, *notes: str) -> Method:
        """Make a member out of its entry."""
        method = str.__new__(cls, name)
        method._value_, method.path, method.shows = name, path, shows
        method.of_layer, method.without_picture = "layer" in notes, "no picture" in notes
        return method

    @classmethod
    def of_one_picture(cls) -> list[Method]:
        """Return the methods that explain one picture: those that `all` stands for."""
        return [x for x in cls if x.shows not in (Shows.POINTS, Shows.IMAGE, Shows.ALL)]

    def run(self, **given: Any) -> Any:
        """Return what the function answers to those of the arguments that it takes.

        network, layer, images, target, class_id; features, for points; most, maps of a sheet.
        """
        module, _, name = self.path.rpartition(".")
        function = getattr(import_module(f"cnn_perception.offboard.explain_methods.{module}"), name)
        taken = inspect.signature(function).parameters
        return function(**{key: value for key, value in given.items() if key in taken})
