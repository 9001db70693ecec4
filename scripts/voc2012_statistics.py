"""Make emojivoc/voc2012_statistics.json: aggregates of Pascal VOC 2012's annotations, and the layout model fitted to them.

    python scripts/voc2012_statistics.py train.json.gz val.json.gz

Each file holds one split of the detection task as gzipped JSON: `{"images": [[id, width, height, [[class, xmin, ymin, xmax,
ymax], ...]], ...]}`, corners in 1-based inclusive pixels, as in VOC's XML. No single annotation goes into the output: histograms,
counts, quantiles and correlations only. The layout model is fitted to train; val stays the yardstick: how far two samples of
one world lie apart.
"""

import gzip
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emojivoc import layout, statistics
from groundwork.answer import answer
from groundwork.archives import TORN
from groundwork.drafts import drafted
from groundwork.errors import InputError, unreadable, writing
from voc_tree.annotation import CLASSES


def read(path: Path) -> list[dict[str, np.ndarray]]:
    """One target an image: `boxes` [n, 4] (xyxy, continuous, in [0, 1]) and `labels` [n]. InputError for a file that is none."""
    targets = []
    try:
        for _, width, height, objects in json.loads(gzip.decompress(path.read_bytes()))["images"]:
            if not (width > 0 and height > 0):
                raise ValueError(f"a picture of {width} x {height}")
            pixels = np.array([o[1:] for o in objects], float).reshape(-1, 4) - (1, 1, 0, 0)
            boxes = np.clip(pixels / (width, height, width, height), 0, 1)
            targets.append({"boxes": boxes, "labels": np.array([CLASSES.index(o[0]) for o in objects], int)})
    except (*TORN, LookupError, TypeError, RecursionError) as error:
        said = f"{path}: expected a split as gzipped JSON ({error!r}); its form is told at the top of this script"
        raise unreadable(path, error) or InputError(said) from error
    return targets


def main(train: str, val: str) -> int:
    splits = {"train": read(Path(train)), "val": read(Path(val))}
    content = {
        "source": "Pascal VOC 2012, detection, splits train and val: aggregates made by scripts/voc2012_statistics.py",
        "statistics": {name: asdict(statistics.summarise(targets)) for name, targets in splits.items()},
        "layout": asdict(layout.fit(splits["train"])),
    }
    with writing(statistics.FILE), drafted(statistics.FILE) as draft:
        draft.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    for name in splits:
        s = statistics.Statistics.from_dict(content["statistics"][name])
        print(f"{name}: {s.images} images, {s.objects_an_image:.2f} objects each, {s.background:.2%} background, {s.cells_lost:.1%} lost")
    print(f"{statistics.FILE.name}: {statistics.FILE.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(answer(lambda: main(*sys.argv[1:])))
