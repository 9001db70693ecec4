"""Pictures: `given` is (name of the file, its content), `means` the RGB pixels [h, w, 3] it must be read as.

Inside: `CASES`.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, PngImagePlugin

from hostile.case import Case, pickled, zipped

RED, GREEN, BLUE, GREY = (200, 30, 40), (20, 180, 60), (30, 50, 220), (128, 128, 128)
QUARTERS = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8).repeat(16, 0).repeat(24, 1)  # 32 48 3: every turn of it is another picture
GREYS = np.linspace(0, 255, 32).astype(np.uint8)[:, None].repeat(48, 1)  # 32 48


def rgb(grey: np.ndarray) -> np.ndarray:
    return grey[..., None].repeat(3, -1)


def encoded(kind: str, mode: str = "RGB", pixels: np.ndarray = QUARTERS, **options) -> bytes:
    out = BytesIO()
    fine = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    image = Image.fromarray(pixels)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(out, kind, **fine, **options)
    return out.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded("JPEG", exif=exif)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth=8, colour=2, data: bytes = zlib.compress(b"\0" * 999), before: bytes = b"") -> bytes:
    """A PNG that says it has width x height pixels, whatever it holds."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG with a compressed comment that unpacks to 64 MB."""
    comment = b"Comment\0\0" + zlib.compress(b"x" * 2**26)
    return png(1, 1, data=zlib.compress(b"\0" * 4), before=chunk(b"zTXt", comment))


def larger(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header (SOF0) says another size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def bmp(width: int, height: int) -> bytes:
    whole = encoded("BMP")
    return whole[:18] + struct.pack("<ii", width, height) + whole[26:]


def png_with_text() -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "x" * 1000)
    return encoded("PNG", pnginfo=note)


JPEG, PNG = encoded("JPEG"), encoded("PNG")
SIXTEEN = np.linspace(0, 65535, 32 * 48).astype(np.uint16).reshape(32, 48)
TORN, NOT_ONE = "cannot be decoded", "expected a picture, got something else"
BOMB = "expected at most .* pixels"


def torn() -> list[Case]:
    jpegs = [Case(f"a JPEG cut after {n} bytes", ("a.jpg", JPEG[:n]), f"{NOT_ONE}|{TORN}") for n in (1, 2, 3, 20, 160, 400)]
    jpegs += [Case(f"a JPEG cut at {share:.0%}", ("a.jpg", JPEG[: int(share * len(JPEG))]), TORN) for share in (0.75, 0.9, 0.97)]
    pngs = [Case(f"a PNG cut after {n} bytes", ("a.png", PNG[:n]), f"{NOT_ONE}|{TORN}") for n in (4, 8, 20, 33, 50)]
    return [
        *jpegs,
        *pngs,
        Case("a PNG cut in its pixels", ("a.png", PNG[: PNG.index(b"IDAT") + 12]), TORN),
        Case("a PNG with a false checksum", ("a.png", PNG[:30] + b"\0\0" + PNG[32:]), f"{NOT_ONE}|{TORN}"),
        Case("a PNG whose pixels are noise", ("a.png", png(48, 32, data=bytes(range(256)))), TORN),
        Case("a PNG with fewer pixels than it says", ("a.png", png(48, 32, data=zlib.compress(b"\0" * 99))), TORN),
        Case("a GIF cut in half", ("a.gif", encoded("GIF")[:100]), TORN),
        Case("a WebP cut in half", ("a.webp", encoded("WEBP")[:60]), f"{NOT_ONE}|{TORN}"),
        Case("a BMP cut in half", ("a.bmp", encoded("BMP")[:2000]), TORN),
        Case("a PPM cut in half", ("a.ppm", encoded("PPM")[:2000]), TORN),
        Case("a JPEG without its tables", ("a.jpg", JPEG.replace(b"\xff\xdb", b"\xff\xfe")), TORN),
        Case("a JPEG without its end marker", ("a.jpg", JPEG[:-2]), TORN),
        Case("noise after a JPEG's magic number", ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4), f"{NOT_ONE}|{TORN}"),
        Case("a JPEG of 0 x 0", ("a.jpg", larger(JPEG, 0, 0)), f"{NOT_ONE}|{TORN}"),
        Case("a PNG of 0 x 32", ("a.png", png(0, 32)), f"{NOT_ONE}|{TORN}"),
    ]


def other() -> list[Case]:
    """Something else by the name of a JPEG."""
    kinds = {
        "text": b"just some text\n",
        "a web page": b"<html>404 not found</html>",
        "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "a PDF": b"%PDF-1.7\n%\xe2\xe3\n",
        "a program for a printer": encoded("EPS"),
        "a TIFF": encoded("TIFF"),
        "an icon": encoded("ICO"),
        "a TGA": encoded("TGA"),
        "a zip": zipped(picture=JPEG),
        "a pickle with code in it": pickled(),
        "zeros": b"\0" * 1000,
        "a git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    }
    named = [Case(f"{what} named .jpg", ("a.jpg", encoded(kind)), f"expected a JPEG as its name says, got {kind}") for what, kind in OTHERS]
    return [
        Case("zero bytes long", ("a.jpg", b""), "an empty file"),
        *(Case(what, ("a.jpg", content), NOT_ONE) for what, content in kinds.items()),
        *named,
        Case("a PNG named .JPEG", ("a.JPEG", PNG), "expected a JPEG as its name says, got PNG"),
    ]


OTHERS = (("a PNG", "PNG"), ("a GIF", "GIF"), ("a WebP", "WEBP"), ("a BMP", "BMP"), ("a PPM", "PPM"))


def bombs() -> list[Case]:
    return [
        Case("a PNG of 20,000 x 20,000", ("a.png", png(20_000, 20_000)), BOMB),
        Case("a bomb named .jpg", ("a.jpg", png(20_000, 20_000)), BOMB),
        Case("a PNG of 10,000 x 10,000, where Pillow only warns", ("a.png", png(10_000, 10_000)), BOMB),
        Case("a PNG as wide as its format goes", ("a.png", png(2**31 - 1, 1)), f"{BOMB}|{TORN}"),
        Case("a JPEG of 65,535 x 65,535", ("a.jpg", larger(JPEG, 65535, 65535)), BOMB),
        Case("a BMP of 100,000 x 100,000", ("a.bmp", bmp(100_000, 100_000)), BOMB),
        Case("a BMP of negative width", ("a.bmp", bmp(-48, 32)), BOMB),
        Case("a GIF of 65,535 x 65,535", ("a.gif", encoded("GIF")[:6] + b"\xff" * 4 + encoded("GIF")[10:]), BOMB),
        Case("a PPM of 10^9 x 10^9", ("a.ppm", b"P6 1000000000 1000000000 255\n\0"), BOMB),
        Case("a PNG whose comment unpacks to 64 MB", ("a.png", text_bomb()), TORN),
    ]


def whole() -> list[Case]:
    """Unusual, and a picture all the same."""
    clear = np.dstack([QUARTERS, GREYS])
    return [
        Case("RGB", ("a.jpg", JPEG), means=QUARTERS),
        Case("progressive", ("a.jpg", encoded("JPEG", progressive=True)), means=QUARTERS),
        Case("CMYK", ("a.jpg", encoded("JPEG", "CMYK")), means=QUARTERS),
        Case("grey JPEG", ("a.jpg", encoded("JPEG", "L", rgb(GREYS))), means=rgb(GREYS)),
        Case("a JPEG with bytes behind its end", ("a.jpg", JPEG + b"\0junk" * 99), means=QUARTERS),
        Case("a JPEG that leaves its Huffman codes to the standard", ("a.jpg", JPEG.replace(b"\xff\xc4", b"\xff\xfe")), means=QUARTERS),
        Case("a JPEG with a torn EXIF", ("a.jpg", encoded("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")), means=QUARTERS),
        Case("a JPEG with a comment", ("a.jpg", encoded("JPEG", comment=b"<script>" * 99)), means=QUARTERS),
        Case("a JPEG named .png", ("a.png", JPEG), means=QUARTERS),
        # VOC's boxes are in stored pixels: whatever EXIF says, the picture is not turned.
        *(Case(f"EXIF orientation {n}: as stored", ("a.jpg", turned(n)), means=QUARTERS) for n in range(1, 9)),
        Case("EXIF orientation 99: as stored", ("a.jpg", turned(99)), means=QUARTERS),
        Case("RGB PNG", ("a.png", PNG), means=QUARTERS),
        Case("a PNG without its end", ("a.png", PNG[:-12]), means=QUARTERS),
        Case("a PNG with a comment", ("a.png", png_with_text()), means=QUARTERS),
        Case("grey PNG", ("a.png", encoded("PNG", "L", rgb(GREYS))), means=rgb(GREYS)),
        Case("grey with alpha: alpha dropped", ("a.png", encoded("PNG", "LA", rgb(GREYS))), means=rgb(GREYS)),
        Case("alpha dropped", ("a.png", encoded("PNG", "RGBA", clear)), means=QUARTERS),
        Case("wholly transparent: its colours", ("a.png", encoded("PNG", "RGBA", np.dstack([QUARTERS, 0 * GREYS]))), means=QUARTERS),
        Case("one bit", ("a.png", encoded("PNG", "1", rgb(GREYS // 128 * 255))), means=rgb(GREYS // 128 * 255)),
        Case("palette", ("a.png", encoded("PNG", "P")), means=QUARTERS),
        Case("palette with transparency", ("a.png", encoded("PNG", "P", transparency=0)), means=QUARTERS),
        Case("16-bit grey: scaled, not clipped", ("a.png", encoded("PNG", "I;16", SIXTEEN)), means=rgb(SIXTEEN >> 8)),
        Case("16-bit RGB: scaled", ("a.png", png(48, 32, 16, data=deep())), means=QUARTERS),
        Case("16-bit PGM", ("a.pgm", b"P5 48 32 65535\n" + SIXTEEN.astype(">u2").tobytes()), means=rgb(SIXTEEN >> 8)),
        Case("BMP", ("a.bmp", encoded("BMP")), means=QUARTERS),
        Case("lossless WebP", ("a.webp", encoded("WEBP", lossless=True)), means=QUARTERS),
        Case("an animated GIF: its first picture", ("a.gif", animated()), means=rgb(GREYS // 128 * 255)),
        Case("1 x 1", ("a.jpg", encoded("JPEG", pixels=QUARTERS[:1, :1])), means=QUARTERS[:1, :1]),
        Case("1 x 300", ("a.jpg", encoded("JPEG", pixels=QUARTERS[:1, :1].repeat(300, 0))), means=QUARTERS[:1, :1].repeat(300, 0)),
        Case("300 x 1", ("a.jpg", encoded("JPEG", pixels=QUARTERS[:1, :1].repeat(300, 1))), means=QUARTERS[:1, :1].repeat(300, 1)),
        Case("1 x 60,000", ("a.png", encoded("PNG", pixels=QUARTERS[:1, :1].repeat(60_000, 0))), means=QUARTERS[:1, :1].repeat(60_000, 0)),
        Case("2,880 x 1,920", ("a.jpg", encoded("JPEG", pixels=HUGE)), means=HUGE),
    ]


HUGE = QUARTERS.repeat(60, 0).repeat(60, 1)


def deep() -> bytes:
    """QUARTERS as a PNG's 16-bit rows."""
    rows = QUARTERS.astype(">u2") * 257
    return zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows))


def animated() -> bytes:
    frames = [Image.fromarray(p) for p in (GREYS // 128 * 255, 255 - GREYS)]
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


CASES = (*torn(), *other(), *bombs(), *whole())
