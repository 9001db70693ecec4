"""YOLOv1 on trial: the detector, its training, and the table of experiments.

Begin with `detector/grid.py`: a box becomes a target in `Grid.encode`, outputs become boxes in `Grid.decode`. Then `detector/loss.py`,
where terms stand beside the labels of their equations; the focal readings are in `YoloLoss._background` and `_coupled`. Then
`detector/metrics.py` (AP, counts), and `training/`.

- `detector/`: boxes, grid, backbones, heads, model, loss, metrics
- `data/`: voc (a split as batches), augment (flips, shifts, mosaics)
- `training/`: config (every knob), step (one effective batch, the rate's schedule), train (the loop), scoring, observer (what may watch)
- `profiles.py`: on which data, for how long; `experiments.py`: every arm on one screen, and `run(experiment, arm, profile, seed)`

Around it: `voc_tree` and `groundwork` below, `emojivoc` (the data set drawn from code); above, `anchor_free` (the remedies' detector,
trained by the same loop) and `trial`, where runs are watched (`trial/watch.py`), claims (`trial/register/claims/`) judged (`judge` and
`verdict_of` in `trial/register/verdicts.py`), pages given their figures (`trial/page.py`). A number in the prose, {{ baseline.map }}, comes
from the `publish` that ends `notebooks/baseline.ipynb`; one that no notebook owns, from `conclude` in `book/press/publish.py`.
"""

__version__ = "0.1.0"
