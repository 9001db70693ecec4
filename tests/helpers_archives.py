"""Small archives laid out as the official ones of VOC and COCO are, and a host on this machine that serves them."""

import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
from helpers_voc import obj, xml
from PIL import Image

from voc_tree.photographs import COCO, INSTANCES

# COCO's names of VOC's twenty classes, in VOC's order; by COCO's own list of categories.
COCO_NAMES = (
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv",
)  # fmt: skip


def jpeg(width: int, height: int, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(width).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).convert(mode).save(out, "JPEG")
    return out.getvalue()


def voc(year: int, **pictures: tuple[tuple[int, int], str]) -> dict[str, bytes]:
    """Files of a VOC archive: a picture and an annotation for each name."""
    base = f"VOCdevkit/VOC{year}"
    found = {f"{base}/JPEGImages/{name[1:]}.jpg": jpeg(*size) for name, (size, _) in pictures.items()}
    return found | {f"{base}/Annotations/{name[1:]}.xml": text.encode() for name, (_, text) in pictures.items()}


def instances(**changes) -> dict:
    """COCO's annotations of three pictures, one of them not in the list: every class of VOC's, a zebra, a crowd and a speck."""
    box = [33.6, 20.25, 66.5, 100.0]
    objects = [{"image_id": 139, "category_id": 1 + n, "bbox": box, "iscrowd": 0} for n in range(len(COCO_NAMES))]
    objects += [
        {"image_id": 632, "category_id": 90, "bbox": box, "iscrowd": 0},
        {"image_id": 632, "category_id": 15, "bbox": [10.1, 20.2, 30.3, 40.4], "iscrowd": 1},
        {"image_id": 139, "category_id": 15, "bbox": [12.0, 12.0, 2.9, 90.0], "iscrowd": 0},
        {"image_id": 785, "category_id": 15, "bbox": box, "iscrowd": 0},
    ]
    pictures = {139: (640, 480), 632: (200, 145), 785: (64, 64)}
    return {
        "images": [{"id": n, "file_name": f"{n:012}.jpg", "width": w, "height": h} for n, (w, h) in pictures.items()],
        "categories": [{"id": 1 + n, "name": name} for n, name in enumerate(COCO_NAMES)] + [{"id": 90, "name": "zebra"}],
        "annotations": objects,
    } | changes


def contents() -> dict[str, dict[str, bytes]]:
    """The files of each archive."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>"
    whole = obj("horse", (53, 87, 471, 400), extra=f"<truncated>1</truncated>{part}")
    plain = ((500, 375), xml(obj("dog", (1, 1, 500, 375)), size=(500, 375)))
    return {
        "voc2007_trainval": voc(2007, _000005=plain, _000007=plain),
        "voc2007_test": voc(2007, _000001=((375, 500), xml(obj("cat", (48, 240, 195, 371), difficult="1"), size=(375, 500)))),
        "voc2012_trainval": voc(2012, _2008_000002=((500, 400), xml(whole, obj("person", (45.5, 2, 50, 80)), size=(500, 400)))),
        COCO: {
            "val2017/000000000139.jpg": jpeg(640, 480),
            "val2017/000000000632.jpg": jpeg(200, 145, "L"),
            "val2017/000000000785.jpg": jpeg(64, 64),
        },
        "coco_annotations": {INSTANCES: json.dumps(instances()).encode(), "annotations/captions_val2017.json": b"{}"},
    }


def pack(path: Path, members: dict[str, bytes]) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
        return
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


class Host(ThreadingHTTPServer):
    """Serves the files of a folder. `asked` holds the path and the range of each request."""

    def __init__(self, folder: Path, ranges: bool = True, most: int | None = None):
        self.asked: list[tuple[str, str | None]] = []
        self.most = most
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.ranges = folder, ranges

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path[1:], wanted))
        if not (self.server.folder / self.path[1:]).exists():
            return self.send_error(404)
        content = (self.server.folder / self.path[1:]).read_bytes()
        partial = wanted is not None and self.server.ranges
        content = content[int(wanted.removeprefix("bytes=").rstrip("-")) :] if partial else content
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.server.most])

    def log_message(self, *_):
        pass


@contextmanager
def serving(folder: Path, **options) -> Iterator[Host]:
    """A host of the files of `folder`."""
    with Host(folder, **options) as host:
        Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield host
        host.shutdown()
