"""Files of weights and checkpoints: `given` is a function from the sound file's bytes to the bad one's.

Inside: `WEIGHTS` (a run's weights.safetensors), `STATE_DICTS` (a file for `--weights`), `SAVED` (a file of the second of two
checkpoints; accepted means: warned of, and the training goes on from the first).
"""

import json
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch
from safetensors.torch import load, save

from hostile.case import Case, pickled, zipped

Tensors = dict[str, torch.Tensor]


def parts(data: bytes) -> tuple[dict, bytes]:
    """A safetensors file's header and its numbers."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: dict | bytes, numbers: bytes, length: int | None = None) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + numbers


def headed(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    """The same numbers below a header that is changed in place."""

    def given(data: bytes) -> bytes:
        header, numbers = parts(data)
        change(header)
        return joined(header, numbers)

    return given


def first(**values: Any) -> Callable[[bytes], bytes]:
    """The header's first tensor with other values."""
    return headed(lambda header: next(v for k, v in header.items() if k != "__metadata__").update(values))


def tensors(change: Callable[[Tensors], Tensors]) -> Callable[[bytes], bytes]:
    """A whole file of other tensors."""

    def given(data: bytes) -> bytes:
        state = load(data)
        return save(change(state))

    return given


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(share * len(data))]


def saved(value: Any, **options: Any) -> bytes:
    out = BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def always(content: bytes) -> Callable[[bytes], bytes]:
    return lambda _: content


def last(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[bytes], bytes]:
    """The last layer's weight changed."""
    return tensors(lambda state: state | {"head.6.weight": change(state["head.6.weight"]).contiguous()})


TORN, MISFIT = "weights are missing or cannot be read", "weights do not fit the run's configuration"

WEIGHTS = (
    Case("empty", always(b""), TORN),
    Case("half a length", lambda data: data[:4], TORN),
    Case("a length and no more", lambda data: data[:8], TORN),
    *(Case(f"torn at {share:.1%}", cut(share), TORN) for share in (0.0005, 0.01, 0.5, 0.999)),
    Case("its last byte gone", lambda data: data[:-1], TORN),
    Case("a byte too many", lambda data: data + b"\0", TORN),
    Case("a header of 2^63 bytes, it says", lambda data: joined(*parts(data), 2**63), TORN),
    Case("a header of 2^40 bytes, it says", lambda data: joined(*parts(data), 2**40), TORN),
    Case("a header a byte too short, it says", lambda data: struct.pack("<Q", struct.unpack("<Q", data[:8])[0] - 1) + data[8:], TORN),
    Case("a header of no bytes, it says", lambda data: joined(*parts(data), 0), TORN),
    Case("a header that is a list", lambda data: joined(b"[]", parts(data)[1]), TORN),
    Case("a header that is no JSON", lambda data: joined(b"{oops", parts(data)[1]), TORN),
    Case("a header that is no text", lambda data: joined(b"\xff\xfe\xfd", parts(data)[1]), TORN),
    Case("a header deeper than its reader goes", lambda data: joined(b'{"a":' * 10**4, b""), TORN),
    Case("offsets beyond the file", first(data_offsets=[0, 2**40]), TORN),
    Case("negative offsets", first(data_offsets=[-8, 0]), TORN),
    Case("offsets the wrong way round", first(data_offsets=[864, 0]), TORN),
    Case("a shape that is not its bytes'", first(shape=[7, 7]), TORN),
    Case("a shape whose product overflows", first(shape=[2**32, 2**32, 2**32]), TORN),
    Case("a negative shape", first(shape=[-1]), TORN),
    Case("a dtype that nobody knows", first(dtype="F7"), TORN),
    Case("a pickle with code in it", always(pickled()), TORN),
    Case("a pickle behind a header", lambda data: joined(pickled(), parts(data)[1]), TORN),
    Case("a file of torch.save", always(saved({"w": torch.ones(2)})), TORN),
    Case("a zip", always(zipped(weights=b"x")), TORN),
    Case("text", always(b"<html>404 not found</html>"), TORN),
    Case("no tensor at all", always(save({})), MISFIT),
    Case("another net's", always(save({"fc.weight": torch.ones(2, 2)})), f"{MISFIT}, 'backbone.body.0.weight' is missing"),
    Case("one tensor missing", tensors(lambda s: {k: s[k] for k in s if k != "head.6.bias"}), f"{MISFIT}, 'head.6.bias' is missing"),
    Case("one tensor more", tensors(lambda s: s | {"extra": torch.ones(1)}), f"{MISFIT}, 'extra' is none of its tensors"),
    Case("a name as long as a book", tensors(lambda s: s | {"x" * 10**5: torch.ones(1)}), MISFIT),
    Case("one tensor of another width", last(lambda w: w[:29]), MISFIT + r".* \(29, 512, 1, 1\)"),
    Case("one tensor turned", last(lambda w: w.transpose(0, 1)), MISFIT),
    Case("one tensor in double precision", last(torch.Tensor.double), f"{MISFIT}.*float64"),
    Case("one tensor in half precision", last(torch.Tensor.half), f"{MISFIT}.*float16"),
    Case("one tensor in whole numbers", last(torch.Tensor.int), f"{MISFIT}.*int32"),
    Case("one tensor of NaN", last(lambda w: w * float("nan")), "holds what is no number"),
    Case("one infinite weight", last(lambda w: w / w.abs().min().mul(0)), "holds what is no number"),
    Case("the whole file", lambda data: data, means="whole"),
    Case("metadata that say anything", headed(lambda h: h.update(__metadata__={"format": "<script>"})), means="whole"),
)


class Net(torch.nn.Module):
    """What torch.save puts into a file whole, code and all, where it is let."""


NOT_SAFE, NOT_ITS = "not a file of weights that torch can load safely", "not the weights of this EfficientNet"

UNSAFE = always(zipped(**{"archive__data.pkl": pickled(2), "archive__version": b"3"}))

STATE_DICTS = (
    Case("empty", always(b""), NOT_SAFE),
    *(Case(f"torn at {share:.0%}", cut(share), NOT_SAFE) for share in (0.01, 0.5, 0.99)),
    *(Case(f"a pickle with code in it, protocol {p}", always(pickled(p)), NOT_SAFE) for p in (0, 2, 4, 5)),
    Case("code inside torch's own zip", always(zipped(archive__data__pkl=pickled(2), archive__version=b"3")), NOT_SAFE),
    Case("code named as torch names it", UNSAFE, NOT_SAFE),
    Case("a whole module", always(saved(Net())), NOT_SAFE),
    Case("a whole module, as torch once saved", always(saved(Net(), _use_new_zipfile_serialization=False)), NOT_SAFE),
    Case("a zip of nothing", always(zipped()), NOT_SAFE),
    Case("text", always(b"<html>404 not found</html>"), NOT_SAFE),
    Case("safetensors", always(save({"w": torch.ones(2)})), NOT_SAFE),
    Case("a list", always(saved([1, 2])), NOT_ITS),
    Case("a number", always(saved(7)), NOT_ITS),
    Case("nothing, saved", always(saved(None)), NOT_ITS),
    Case("a tensor alone", always(saved(torch.ones(3))), NOT_ITS),
    Case("a dict of numbers", always(saved({"w": 7})), NOT_ITS),
    Case("another net's", always(saved({"w": torch.ones(2)})), NOT_ITS),
    Case("the weights under a key of their own", always(saved({"state_dict": {"w": torch.ones(2)}})), NOT_ITS),
)

WHOLE_MODEL, STATE, DIGESTS = "model.safetensors", "state.pt", "digests.json"


def told(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    """digests.json after a change in place."""

    def given(data: bytes) -> bytes:
        digests = json.loads(data)
        change(digests)
        return json.dumps(digests).encode()

    return given


TEARS = {"empty": always(b""), "torn in half": cut(0.5), "torn at its end": cut(0.99), "a pickle with code in it": always(pickled())}
LISTED = {
    "empty": always(b""),
    "torn": cut(0.5),
    "a list": always(b"[]"),
    "a pickle": always(pickled()),
    "without a key": told(lambda digests: digests.pop("key")),
    "of other content": told(lambda digests: digests.update({STATE: "0" * 64})),
    "of a file that is not there": told(lambda digests: digests.update({"../../gone": "0" * 64})),
}


def bad(file: str, name: str, change: Callable[[bytes], bytes], fits: bool) -> Case:
    """`fits`: the file's digest is made to fit, so that the readers alone stand between it and the training."""
    return Case(f"{file} {name}{', its digest to fit' if fits else ''}", (file, change, fits), means="gone back")


SAVED = (
    *(bad(file, name, change, fits) for file in (WHOLE_MODEL, STATE) for fits in (False, True) for name, change in TEARS.items()),
    bad(STATE, "code inside torch's own zip", UNSAFE, True),
    bad(STATE, "a whole module", always(saved(Net())), True),
    *(bad(DIGESTS, name, change, False) for name, change in LISTED.items()),
)
