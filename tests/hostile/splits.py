"""Split files of a tree with train_000, train_001 and train_002: `means` are the ids read.

Inside: `CASES`.
"""

from hostile.case import Case, folder, gone, pickled, zipped

TWO = ["train_000", "train_001"]
PATH, EMPTY, BYTES, MISSING = "which is a path or no name", "the split is empty", "cannot be read", "images are missing, the first is "

CASES = (
    Case("no file", gone, "there is no such split; choose one of: "),
    Case("a folder", folder, BYTES),
    Case("empty", "", EMPTY),
    Case("blank lines alone", "\n \r\n\n", EMPTY),
    Case("a byte order mark alone", b"\xef\xbb\xbf", EMPTY),
    Case("an id twice in a row", "train_000\ntrain_000\n", "line 2 repeats train_000 of line 1"),
    Case("an id twice", "train_000\ntrain_001\ntrain_000\n", "line 3 repeats train_000 of line 1"),
    Case("an id twice, by its second column", "train_000 1\ntrain_000 -1\n", "line 2 repeats train_000 of line 1"),
    Case("an id that climbs out", "train_000\n../../../secret\n", f"line 2 has '../../../secret', {PATH}"),
    Case("an id in a folder", "here/train_000\n", f"line 1 has 'here/train_000', {PATH}"),
    Case("an absolute path", "/etc/passwd\n", f"line 1 has '/etc/passwd', {PATH}"),
    Case("a path of Windows", "train_000\nC:\\secret\n", f"line 2 has .*, {PATH}"),
    Case("an address", "file:train_000\n", f"line 1 has .*, {PATH}"),
    Case("one dot", ".\n", f"line 1 has '.', {PATH}"),
    Case("dots", "..\n", f"line 1 has '..', {PATH}"),
    Case("a zero byte", "train_000\ntrain\0\n", f"line 2 has .*, {PATH}"),
    Case("a path of 10,000 characters", "x/" * 5_000, f"line 1 has .*, {PATH}"),
    Case("an id without a picture", "train_000\ngone\n", f"1 of its 2 {MISSING}.*gone.jpg"),
    Case("an id with its suffix", "train_000.jpg\n", f"1 of its 1 {MISSING}.*train_000.jpg.jpg"),
    Case("an id in capitals", "TRAIN_000\n", f"1 of its 1 {MISSING}.*TRAIN_000.jpg"),
    Case("ids with commas between", "train_000,train_001\n", f"1 of its 1 {MISSING}"),
    Case("an id of 100,000 characters", "x" * 100_000 + "\n", f"line 1 has .*, {PATH}"),
    Case("an id that speaks to a terminal", "train\x1b[2J\n", rf"line 1 has 'train\\x1b\[2J', {PATH}"),
    Case("2,000 ids without pictures", "".join(f"{n}\n" for n in range(2000)), f"2000 of its 2000 {MISSING}"),
    Case("a web page", "<html>\n<body>404</body>\n", f"{PATH}|{MISSING}"),
    Case("not UTF-8", b"\xff\xfe\x00\x01\n", BYTES),
    Case("UTF-16", "train_000\n".encode("utf-16"), BYTES),
    Case("Latin-1", "train_000\ncaf\xe9\n".encode("latin-1"), BYTES),
    Case("noise", bytes(range(256)), BYTES),
    Case("a zip", zipped(train=b"train_000"), BYTES),
    Case("a pickle with code in it", pickled(), f"{BYTES}|{PATH}|{MISSING}"),
    Case("no last newline", "train_000\ntrain_001", means=TWO),
    Case("CRLF and blank lines", "\n train_000\r\n\r\ntrain_001 \r\n\n", means=TWO),
    Case("CR alone", "train_000\rtrain_001\r", means=TWO),
    Case("byte order mark", "\ufefftrain_000\ntrain_001\n", means=TWO),
    Case("second column", "train_000  1\ntrain_001 -1\n", means=TWO),
    Case("tabs", "\ttrain_000\t1\ntrain_001\t-1\n", means=TWO),
    Case("another order: kept", "train_001\ntrain_000\n", means=TWO[::-1]),
)
