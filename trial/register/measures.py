"""What each claim's effect measures, in words, and how far a finding lies from its threshold.

Inside: `MEASURES`, `GROUPS`, `group_of`, `bar`, `against`.
"""

import math

from trial.register.claims import Claim
from trial.register.verdicts import Finding

GROUPS = {  # headings, by how a claim's id begins
    "C1": "Baseline",
    "C2": "Focal loss",
    "C3": "Transfer",
    "C4": "Fine-tuning",
    "P": "The published figures",
    "H": "Memory and accumulation",
    "R": "YOLOv8's ideas",
}
TIMES_BASE = "mAP, as a multiple of the base's"
MEASURES = {
    "C1": "recall at score 0.05",
    "C1a": "recall at score 0.05 that the full head adds",
    "C1b": "recall at score 0.05 that ImageNet's weights add over random ones",
    "C1c": "share of the mAP that the score cut hides",
    "C1d": "recall at score 0.05 that the paper's options add",
    "C1e": "recall at score 0.05 on the training pictures",
    "C2a": "norm of the background gradient, as a share of the squared error's",
    "C2b": "false positives at score 0.1, as a multiple of the squared error's",
    "C2c": "mAP, as a share of the squared error's",
    "C2d": "difference of two shares of background confidences above one half",
    "C2e": "detections at score 0.05, as a share of the squared error's",
    "C2f": "largest lift of the background confidence over the smallest",
    "C2g": "median distance from the base-rate optimum, relative to it",
    "C2h": "mAP, as a share of the squared error's",
    "C2i": "mAP, as a share of the squared error's",
    "C2j": "share of background predictors that are starved",
    "C2k": "precision at score 0.1, as a share of the squared error's",
    "C3a": "mAP, as a multiple of that from scratch",
    "C3b": "mAP of random features, as a share of ImageNet's",
    "C3c": "IoU that unfreezing adds, less what another head adds",
    "C3d": "mAP, as a multiple of that on a quarter of the pictures",
    "C3e": "mAP on all pictures, less 1.5 times that on a quarter of them",
    "C4a": "best mAP after fine-tuning, as a share of Exp 3's",
    "C4b": "share of what held statistics give back that batches of 16 give back",
    "C4c": "share of the lost mAP that the head's own rate gives back",
    "C4d": "share of what held statistics give back that recomputed ones give back",
    "C4e": "share of the lost mAP that the head's own rate gives back",
    "P1": "least of the three differences in mAP that make the order",
    "H1": "largest difference of a gradient, relative to the largest gradient",
    "H2": "smaller of the two margins, GiB",
    "H3": "mAP of small steps, as a share of that of accumulated ones",
    "H3a": "spread of the gradient's norm in small steps, as a multiple of that in accumulated ones",
    "R1": TIMES_BASE,
    "R1a": "mean cosine of box and class gradients",
    "R2": "mAP, as a multiple of that of all other ideas",
    "R2a": "size of the batch that a mosaic acts like, as a multiple of its own",
    "R3": TIMES_BASE,
    "R3a": "recall that finer grids add, less what the assignment adds",
    "R3b": TIMES_BASE,
    "R4": TIMES_BASE,
    "R4a": "class-agnostic mAP, as a multiple of the base's",
    "R5": "mAP above that of Exp 3",
    "R6": TIMES_BASE,
    "R6a": "mAP, as a multiple of the cross-entropy's",
}


def group_of(claim: Claim) -> str:
    """The heading under which a claim stands."""
    return next(title for start, title in GROUPS.items() if claim.id.startswith(start))


def bar(claim: Claim) -> str:
    """What the claim says of its effect: "below 0.1", "above 0", "3.5 to 14"."""
    if claim.upper is not None:
        return f"{claim.threshold:g} to {claim.upper:g}"
    return f"{'above' if claim.above else 'below'} {claim.threshold:g}"


def against(finding: Finding) -> str:
    """The bar and how far the mean effect lies from it, of a range from the nearer end: "bar below 0.1, missed by 0.025"."""
    claim, effect = finding.claim, finding.effect
    if math.isnan(effect):
        return f"bar {bar(claim)}"
    if claim.upper is not None:
        margin = min(effect - claim.threshold, claim.upper - effect)
    else:
        margin = (effect - claim.threshold) * (1 if claim.above else -1)
    return f"bar {bar(claim)}, {'cleared' if margin > 0 else 'missed'} by {abs(margin):.2g}"
