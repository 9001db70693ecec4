"""One picture: a file decoded to RGB, or refused in one sentence.

Inside: `decode` (full size, for looking and checking), `read_image` (squashed to a square, for the network) and `misnamed`.

EXIF orientation is not applied unless asked for: VOC's boxes are in stored pixels, and torchvision's reader leaves it alone too. A
picture from a phone has no boxes yet, and is turned upright.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from groundwork.errors import InputError, unreadable
from groundwork.files import endless

# Rasters only: Pillow also knows formats that call outside programs (EPS) or hold no pixels at all.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM")
ORIENTATION = 0x0112  # of EXIF
TURNS = {  # what brings a picture upright, by its orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(path: Path | str, content: bytes | None = None, upright: bool = False) -> Image.Image:
    """Decode a picture wholly, as RGB in stored pixels, or turned `upright` as its EXIF says: grey, palette, CMYK and 16-bit are
    converted, alpha is dropped.

    `content` is the file's bytes where they lie in an archive: `path` then only names it. Raises `InputError` for what is missing,
    empty, truncated, not a picture, of floats, larger than Pillow's limit against decompression bombs, or named .jpg while holding another
    format.
    """
    path = Path(path)
    restore = "replace it by a sound copy, or leave it out"
    if content is None and endless(path):
        raise InputError(
            f"{path}: expected a picture's file, found a pipe or a device; save what comes from it as a file, or leave it out."
        )
    try:
        with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
            kind, (width, height) = image.format, image.size
            if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError  # Pillow itself only warns up to twice its limit
            if path.suffix.lower() in (".jpg", ".jpeg") and kind not in ("JPEG", "MPO"):  # MPO: a JPEG with more pictures behind it
                raise InputError(f"{path}: expected a JPEG as its name says, got {kind}; convert it to JPEG.")
            if image.mode == "F":  # a PFM, whose floats may be radiances or depths
                raise InputError(f"{path}: expected 8 or 16 bits a channel, got floats, of no known range; convert it to PNG.")
            image.load()
            if upright:
                image = _turned(image)
            if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255 instead of scaling
                return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{path}: expected at most {Image.MAX_IMAGE_PIXELS:,} pixels, got more (a decompression bomb?); scale the picture down."
        ) from None
    except FileNotFoundError:
        raise InputError(f"{path}: the picture does not exist; {misnamed(Path(path))}{restore}.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: the picture cannot be decoded, it is a folder; name the files in it.") from None
    except Image.UnidentifiedImageError:
        what = "an empty file" if not (path.stat().st_size if content is None else content) else "something else"
        raise InputError(
            f"{path}: expected a picture, got {what}; convert it to PNG (what is read is {', '.join(FORMATS)}), or {restore}."
        ) from None
    except Exception as error:  # decoders fed hostile bytes raise anything: OSError, SyntaxError, struct.error, ...
        raise unreadable(path, error) or InputError(f"{path}: the picture cannot be decoded ({error}); {restore}.") from error


def _turned(image: Image.Image) -> Image.Image:
    """Upright as EXIF says; as it is stored where that cannot be read, since the pixels can."""
    try:  # ImageOps.exif_transpose would write EXIF anew as well, and fail for a field beside this one that it cannot write
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # Pillow's reader of EXIF fed hostile bytes, as its decoders above
        return image
    return image if turn is None else image.transpose(turn)


def read_image(path: Path | str, size: int, upright: bool = False) -> tuple[UInt8[Tensor, "3 s s"], tuple[int, int]]:
    """Decode a picture and squash it to `size` x `size` (bilinear, antialiased; the aspect ratio is not kept).

    Returns RGB uint8 [3, size, size] and the original's (width, height) in pixels, turned first if `upright`. Raises `InputError` as
    `decode` does.
    """
    image = decode(path, upright=upright)
    square = image.resize((size, size), Image.Resampling.BILINEAR)  # Pillow widens the filter when shrinking: antialias
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous(), image.size


def misnamed(path: Path) -> str:
    """Of a tree's picture that is missing: where one of the same name with another ending lies, as cameras write it, that it is to be
    renamed; where one lies whose ending stands in the id, that it is not to."""
    if path.parent.name == "JPEGImages" and path.with_suffix("").suffix and path.with_suffix("").is_file():
        return f"{path.stem} lies there, write its id without {path.with_suffix('').suffix}; else "
    endings = (".JPG", ".jpeg", ".JPEG", ".Jpg") if path.parent.name == "JPEGImages" and path.suffix == ".jpg" else ()
    other = next((place for ending in endings if (place := path.with_suffix(ending)).is_file()), None)
    return f"{other.name} lies there, rename it and its like to end in .jpg; else " if other else ""
