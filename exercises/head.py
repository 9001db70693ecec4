# %% [markdown]
# # How heavy is a dense head?
#
# YOLOv1's head flattens a map of `channels` channels on $S \times S$ cells into a dense layer of `hidden` units, and a second dense layer
# puts out $5B + C$ numbers for every cell. Count the parameters of the two layers, weights and biases.
#
# With 1024 channels and 4096 units on the paper's grid: where do they sit, and what would one dense layer less cost?

# %%


def dense_parameters(S, B, C, channels, hidden):
    """Parameters of the two dense layers."""
    # solution
    outputs = S * S * (5 * B + C)
    return (S * S * channels + 1) * hidden + (hidden + 1) * outputs
    # end


# %% [check]
import torch

from book.press.exercises import expect
from yolo_core.detector.grid import Grid
from yolo_core.detector.heads import dense


def check():
    for S, B, C, channels, hidden in ((7, 2, 20, 1024, 4096), (7, 2, 20, 512, 1024), (7, 1, 20, 512, 1024), (3, 3, 5, 8, 16)):
        with torch.device("meta"):  # shapes, no memory
            head = dense(channels, Grid(S=S, B=B, C=C), channels, hidden, dropout=0.0)
        layers = [layer for layer in head if isinstance(layer, torch.nn.Linear)]
        wanted = sum(p.numel() for layer in layers for p in layer.parameters())
        setting = f"S = {S}, B = {B}, C = {C}, {channels} channels, {hidden} units"
        expect(dense_parameters(S, B, C, channels, hidden), wanted, setting)
