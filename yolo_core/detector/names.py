"""What parts of a detector are called in a configuration; imports nothing, so that one is read without torch."""

from typing import Literal

Background = Literal["mse", "focal", "focal-detached", "focal-literal", "focal-coupled", "qfl"]  # readings of the background's loss
Head = Literal["full", "compressed", "conv", "coupled", "decoupled"]  # the last two of an anchor-free detector
InputScale = Literal["imagenet", "own"]  # whose mean and deviation pictures are normalised by: ImageNet's, or those of the weights
