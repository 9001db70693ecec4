"""Make what the package ships of the photographs: their list, and the aggregates of their annotations.

    python scripts/photographs.py FOLDER

FOLDER holds the VOC tree and `origins.tsv`: a line a picture with its name, origin and split. voc_tree/photographs.tsv.gz gets
these three, in the order of the tree's trainval.txt; photographs_statistics.json histograms, counts and the ceiling of each split.
No picture and no single annotation goes into either.
"""

import gzip
import json
import sys
from dataclasses import asdict
from pathlib import Path

from emojivoc import statistics
from groundwork.answer import answer
from groundwork.drafts import drafted
from groundwork.errors import InputError, unreadable, writing
from voc_tree import photographs
from voc_tree.tree import BASE, SPLITS, read_ids, targets
from yolo_core.detector.grid import ceiling


def main(folder: str) -> int:
    origins = Path(folder) / "origins.tsv"
    try:
        rows = [line.split("\t") for line in origins.read_text(encoding="utf-8").splitlines()[1:]]
        facts = {name: (origin, split) for name, origin, split, *_ in rows}
        lines = ["\t".join((name, *facts[name])) for name in read_ids(Path(folder) / BASE / SPLITS / "trainval.txt")]
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        said = f"{origins}: expected name, origin and split of every picture of the tree ({error!r}); name its folder"
        raise unreadable(origins, error) or InputError(said) from error
    splits = {name: targets(folder, name) for name in ("train", "val")}
    content = {
        "source": "Photographs of VOC 2007, VOC 2012 and COCO, splits train and val: aggregates made by scripts/photographs.py",
        "statistics": {name: asdict(statistics.summarise(found)) for name, found in splits.items()},
        "ceiling": {name: ceiling(found) for name, found in splits.items()},
    }
    packed = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    counted = json.dumps(content, separators=(",", ":")) + "\n"
    for file, text in ((photographs.LIST, packed), (statistics.PHOTOGRAPHS, counted.encode())):
        with writing(file), drafted(file) as draft:
            draft.write_bytes(text)
    for name in splits:
        s = statistics.Statistics.from_dict(content["statistics"][name])
        shares = f"{s.background:.2%} background, {s.cells_lost:.1%} lost, ceiling {content['ceiling'][name]:.3f}"
        print(f"{name}: {s.images} images, {s.objects_an_image:.2f} objects each, {shares}")
    for file in (photographs.LIST, statistics.PHOTOGRAPHS):
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(answer(lambda: main(sys.argv[1])))
