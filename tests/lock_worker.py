"""One of several processes that ask for the same run: `python tests/lock_worker.py LOG`, under YOLO_ROOT. Writes down what it does itself.

Training is a pretence that takes a second; making the data is real.
"""

import sys
import time
from pathlib import Path

from emojivoc import emoji
from yolo_core import experiments
from yolo_core.training import train as training
from yolo_core.training.writing import write_run

if __name__ == "__main__":
    log = Path(sys.argv[1])
    generate = emoji.generate

    def note(what: str) -> None:
        with open(log, "a") as file:
            file.write(f"{what}\n")

    def drawn(*args, **options):
        note("data made")
        generate(*args, **options)

    def trained(config, train_data, val_data, out, *, start, **_):
        note(f"{config.arm} trained{'' if start is None else f' from {start.config.arm}'}")
        time.sleep(1)
        record = {"key": "k", "code": "c", "config": config.to_dict(), "data": {"fingerprints": {}}, "metrics": {}}
        return write_run(out, record, {}, {})

    emoji.generate, training.train = drawn, trained
    note(f"{experiments.run('finetune', 'continued', 'smoke', progress=False).config.arm} in hand")
