"""VOC annotations of a picture of 60 x 40 pixels: `given` is the XML, `means` the objects, (class, box as in the file).

Inside: `CASES`, `WHOLE` (a sound one).
"""

import re

from helpers_voc import obj, xml

from hostile.case import Case, pickled

WHOLE = xml(obj())
DOG = [("dog", (11, 6, 30, 25))]
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
ATTRIBUTES = " ".join(f"a{n}='x'" for n in range(10_000))
INCLUDE = '<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="x"/>'
NOT_XML, ENTITIES, NUMBER = "well-formed XML", "XML entities", "expected a finite number"


def doctype(inside: str, name: str = "dog") -> str:
    return f"<!DOCTYPE annotation {inside}>" + xml(obj(name=name))


def without(tag: str) -> str:
    """WHOLE, a field of it by another name."""
    return WHOLE.replace(f"<{tag}>", "<other>").replace(f"</{tag}>", "</other>")


def filename(path: str) -> str:
    return WHOLE.replace("../../elsewhere.jpg", path)


def documents() -> list[Case]:
    return [
        Case("empty file", "", NOT_XML),
        *(Case(f"cut off at {share:.0%}", WHOLE[: int(len(WHOLE) * share)], NOT_XML) for share in (0.1, 0.5, 0.99)),
        Case("not XML", "width 60 height 40", NOT_XML),
        Case("two documents", WHOLE * 2, NOT_XML),
        Case("a tag left open", WHOLE.replace("</object>", ""), NOT_XML),
        Case("tags crossed", WHOLE.replace("</name><difficult>", "<difficult></name>"), NOT_XML),
        Case("an attribute twice", WHOLE.replace("<object>", '<object a="1" a="2">'), NOT_XML),
        Case("zero bytes", b"\0" * 200, NOT_XML),
        Case("a zero byte inside", WHOLE.replace("dog", "d\0g"), NOT_XML),
        Case("a picture", b"\xff\xd8\xff\xe0" + b"x" * 99, NOT_XML),
        Case("a pickle with code in it", pickled(), NOT_XML),
        Case("another document", "<html><body>404</body></html>", "expected an <annotation>"),
        Case("another namespace", WHOLE.replace("<annotation>", '<annotation xmlns="urn:x">'), "expected an <annotation>"),
        Case("a name as long as a book", f"<{'a' * 10**6}/>", "expected an <annotation>"),
        Case("deep nesting", "<annotation>" * 50_000 + "</annotation>" * 50_000, "no <size>"),
        Case("deep nesting in an object", xml("<object>" * 50_000 + "</object>" * 50_000), "no <name>"),
        Case("deep nesting beside what is read", xml(obj(extra="<part>" * 50_000 + "</part>" * 50_000)), means=DOG),
        Case("a comment of a megabyte", xml(obj(), extra=f"<!--{'x' * 10**6}-->"), means=DOG),
        Case("2,000 objects", xml(obj() * 2000), means=DOG * 2000),
        Case("10,000 attributes", WHOLE.replace("<object>", f"<object {ATTRIBUTES}>"), means=DOG),
        Case("text between the tags", WHOLE.replace("<object>", "<object>some words"), means=DOG),
        Case("a comment and an instruction", WHOLE.replace("<object>", "<!-- --><?run rm?><object>"), means=DOG),
        Case("CDATA", WHOLE.replace("dog", "<![CDATA[dog]]>"), means=DOG),
        Case("a letter by its number", WHOLE.replace("dog", "&#100;og"), means=DOG),
    ]


def attacks() -> list[Case]:
    return [
        Case("entity bomb", doctype(f'[<!ENTITY l0 "ha">{LAUGHS}]', "&l9;"), ENTITIES),
        Case("one long entity, often", doctype(f'[<!ENTITY x "{"x" * 10**5}">]', "&x;" * 1000), ENTITIES),
        Case("an entity that holds itself", doctype('[<!ENTITY x "&x;">]', "&x;"), ENTITIES),
        Case("external entity", doctype('[<!ENTITY x SYSTEM "file:///etc/passwd">]', "&x;"), ENTITIES),
        Case("external entity on a network", doctype('[<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]', "&x;"), ENTITIES),
        Case("public entity", doctype('[<!ENTITY x PUBLIC "-//x" "file:///etc/passwd">]', "&x;"), ENTITIES),
        Case("parameter entity", doctype('[<!ENTITY % x "<!ELEMENT y ANY>"> %x;]'), ENTITIES),
        Case("external parameter entity", doctype('[<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]'), ENTITIES),
        Case("unparsed entity", doctype('[<!NOTATION n SYSTEM "x"><!ENTITY x SYSTEM "x.jpg" NDATA n>]'), ENTITIES),
        Case("entity that is never used", doctype('[<!ENTITY x "y">]'), ENTITIES),
        Case("undefined entity", xml(obj("&nbsp;")), NOT_XML),
        Case(
            "XInclude is not followed",
            WHOLE.replace("dog", INCLUDE),
            "unknown class",
        ),
        Case("a DTD elsewhere is not fetched", doctype('SYSTEM "http://127.0.0.1:9/voc.dtd"'), means=DOG),
        Case("a DTD that declares no entity", doctype("[<!ELEMENT annotation ANY>]"), means=DOG),
    ]


def encodings() -> list[Case]:
    def declared(encoding: str, codec: str, text: str = WHOLE) -> bytes:
        return f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(codec)

    note = WHOLE.replace("<object>", "<owner>Zo\xeb</owner><object>")
    return [
        Case("Latin-1 said to be UTF-8", note.encode("latin-1"), NOT_XML),
        Case("Latin-1, said so", declared("latin-1", "latin-1", note), means=DOG),
        Case("UTF-8 with a byte order mark", note.encode("utf-8-sig"), means=DOG),
        Case("UTF-16 with a byte order mark", declared("utf-16", "utf-16", note), means=DOG),
        Case("UTF-8 said to be UTF-16", declared("utf-16", "utf-8"), NOT_XML),
        Case("UTF-16 said to be UTF-8", declared("utf-8", "utf-16"), NOT_XML),
        Case("UTF-16 without its mark", WHOLE.encode("utf-16-le"), means=DOG),
        Case("UTF-32", declared("utf-32", "utf-32"), NOT_XML),
        Case("UTF-7", declared("utf-7", "utf-7"), NOT_XML),
        Case("encoding that nobody knows", declared("klingon", "utf-8"), NOT_XML),
        Case("encoding that is no text", declared("base64", "utf-8"), NOT_XML),
        Case("encoding of several bytes", declared("shift_jis", "utf-8"), NOT_XML),
    ]


def fields() -> list[Case]:
    sides = "<size><width>1</width><height>1</height></size>"
    needed = ("size", "width", "height", "name", "bndbox", "xmin", "ymin", "xmax", "ymax")
    missing = [Case(f"no {tag}", without(tag), f"no <{tag}>") for tag in needed]
    spare = [Case(f"no {tag}: none is needed", without(tag), means=DOG) for tag in ("filename", "depth", "difficult")]
    once = ("width", "height", "name", "xmin", "ymax", "difficult")
    doubled = {tag: WHOLE.replace(f"<{tag}>", f"<{tag}>1</{tag}><{tag}>") for tag in once}
    named = {
        "that climbs out": "../../../../etc/passwd",
        "that is absolute": "/etc/passwd",
        "of Windows": "C:\\secret.jpg",
        "of another picture": "train_000.jpg",
        "left empty": "",
        "of 100,000 characters": "x" * 100_000,
    }
    return [
        *missing,
        *spare,
        Case("no object: background", without("object"), means=[]),
        *(Case(f"two of {tag}", content, f"2 <{tag}>") for tag, content in doubled.items()),
        Case("two sizes", xml(extra=sides), "2 <size>"),
        Case("two boxes", xml(obj(extra="<bndbox/>")), "2 <bndbox>"),
        Case("an object with nothing in it", xml("<object/>"), "no <name>"),
        Case("box only in a part", xml("<object><name>dog</name><part><bndbox/></part></object>"), "no <bndbox>"),
        *(Case(f"a filename {what}: not followed", filename(path), means=DOG) for what, path in named.items()),
        Case("a filename with a zero byte", filename("a\0.jpg"), NOT_XML),
        Case("a filename with a zero by its number", filename("a&#0;.jpg"), NOT_XML),
        Case("unknown class", xml(obj("unicorn")), "unknown class 'unicorn'.* aeroplane, bicycle"),
        Case("class in capitals", xml(obj("Dog")), "unknown class 'Dog'"),
        Case("class by its number", xml(obj("12")), "unknown class '12'"),
        Case("class as long as a book", xml(obj("dog" * 10**5)), "unknown class 'dogdog"),
        Case("class of two lines", xml(obj("dog\ncat")), r"unknown class 'dog\\ncat'"),
        Case("class between spaces", xml(obj(" dog\n")), means=DOG),
        Case("difficult in words", xml(obj(difficult="very")), f"<difficult> 'very', {NUMBER}"),
        Case("difficult 2", xml(obj(difficult="2")), "<difficult> 2, expected 0 or 1"),
        Case("width 0", xml(obj(), size=(0, 40)), "width 0, expected a positive"),
        Case("negative height", xml(obj(), size=(60, -40)), "height -40, expected a positive"),
        Case("width in words", xml(obj(), size=("sixty", 40)), f"'sixty', {NUMBER}"),
        Case("width nan", xml(obj(), size=("nan", 40)), f"'nan', {NUMBER}"),
        Case("half a pixel", xml(obj(), size=(60.5, 40)), "width 60.5, expected a positive whole"),
        Case("a width beyond what float32 counts", xml(obj(box=(1, 1, "1e300", 9)), size=("1e300", 40)), "width 1e.300, expected"),
        Case("width and height exchanged", xml(obj(), size=(40, 60)), "says 40 x 60, but the picture has 60 x 40"),
        Case("a pixel too wide", xml(obj(), size=(61, 40)), "says 61 x 40, but the picture has 60 x 40"),
    ]


def boxes() -> list[Case]:
    words = {"in words": "left", "left empty": "", "nan": "nan", "infinite": "inf", "minus infinite": "-inf"}
    words |= {"too large for a float": "1e999", "hexadecimal": "0x10", "with a decimal comma": "1,5", "with an underscore": "1_0"}
    words |= {"of another script": "\u0663", "a formula": "1+1"}
    wordy = {what: (xml(obj(box=(text, 1, 9, 9))), f"<xmin> {re.escape(repr(text))}, {NUMBER}") for what, text in words.items()}
    bad = {
        "reversed in x": ((30, 1, 10, 20), "box reversed, xmax 10 < xmin 30"),
        "reversed in y": ((1, 20, 10, 5), "box reversed, ymax 5 < ymin 20"),
        "reversed by a fraction": ((10.5, 1, 10.25, 5), "box reversed, xmax 10.25 < xmin 10.5"),
        "zero area": ((10, 1, 9, 20), "box of zero area, xmax 9 < xmin 10"),
        "zero area once clipped": ((0, 1, 0, 20), "zero area once clipped"),
        "zero area beyond the edge": ((61, 1, 61, 20), "zero area once clipped"),
        "a hair, which is a point as boxes are kept": (("60.99999999", "40.99999999", 61, 41), "zero area once clipped"),
        "less than any float32": ((1, 1, "1e-46", "1e-46"), "reversed"),
        "less than any float32 from the edge": ((0, 0, "1e-46", "1e-46"), "zero area once clipped"),
        "an area less than any float32": ((0, 0, "1e-23", "1e-23"), "zero area once clipped"),
        "outside on the left": ((-5, 1, 9, 9), "outside the image"),
        "outside above": ((1, -1, 9, 9), "outside the image"),
        "outside on the right": ((1, 1, 62, 9), "outside the image"),
        "outside at the bottom": ((1, 1, 9, 42), "outside the image"),
        "far outside": ((1000, 1000, 2000, 2000), "outside the image"),
        "outside by 10^300": ((1, 1, 1e300, 9), "outside the image"),
        "less than a pixel, by rounding none": ((10, 1, "9.0000000001", 20), "box reversed"),
    }
    good = {
        "the whole picture": (1, 1, 60, 40),
        "one pixel": (7, 7, 7, 7),
        "fractions": (10.5, 6.25, 30.75, 25.5),
        "a pixel over each edge: clipped": (0, 0, 61, 41),
        "exponents": ("1e1", "0.6e1", "3E+1", "2.5e1"),
        "spaces and line ends": (" 11", "6\n", "\t30", " 25 "),
    }
    return [
        *(Case(f"a coordinate {what}", *case) for what, case in wordy.items()),
        *(Case(f"a box {what}", xml(obj(box=box)), says) for what, (box, says) in bad.items()),
        *(Case(f"a box of {what}", xml(obj(box=box)), means=[("dog", tuple(map(float, box)))]) for what, box in good.items()),
        Case("the same box twice: two objects", xml(obj(), obj()), means=DOG * 2),
    ]


CASES = (*documents(), *attacks(), *encodings(), *fields(), *boxes())
