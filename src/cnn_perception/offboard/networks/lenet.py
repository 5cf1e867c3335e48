"""LeNet-5, as it is taught: convolutions that see every map (LeCun et al. 1998)."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["LeNet5"]


class LeNet5(nn.Module):
    """float32 (B, 3, 32, 32) images -> logits float32 (B, classes).

    The sizes are those of figure 2 of the paper. As in most implementations since, C3 sees all maps
    of S2, pooling has no weights, and the last layer is linear: 61,706 parameters for ten classes.
    It reads the mean of red, green and blue; grey images (B, 1, 32, 32) are taken as they are.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(16, 120, 5),
            nn.Tanh(),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images.mean(1, keepdim=True)))
        return logits
