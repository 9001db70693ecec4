"""The detector that YOLOv8's ideas make of it: predictions at points instead of in cells, anchor-free (FCOS, YOLOX, TOOD).

Begin with `points.py` (where the points lie, how outputs become boxes), then `assign.py` (which points answer for an object),
`point_loss.py`, `heads.py` with `pyramid.py` (the net), `build.py` (all of it from a configuration). It stands on yolo_core, which trains
it and finds `build.py` by name alone.
"""
