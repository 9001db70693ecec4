"""The whole chain at once: scenes, cache, backbone, head, targets, loss, loop, decoding, suppression, AP."""

from emojivoc.emoji import generate
from trial.watch import train
from yolo_core.data.voc import VocData
from yolo_core.training.config import RunConfig

# A frozen backbone, seen once, makes it a matter of seconds; nothing holds the head back from learning its pictures by heart.
BY_HEART = RunConfig(
    backbone="efficientnet_lite0",
    weights="imagenet",
    head="conv",
    dropout=0.0,
    weight_decay=0.0,
    freeze_weights=True,
    batchnorm="frozen",
    cache_features=True,
    epochs=50,
    score_epochs=50,
)


def test_the_detector_overfits_sixteen_scenes_to_the_ceiling_of_its_grid(tmp_path):
    generate(tmp_path / "scenes", train=16, val=1, progress=False)
    scenes = VocData(tmp_path / "scenes", "train", BY_HEART.image_size)
    run = train(BY_HEART, scenes, scenes, tmp_path / "run", code="test", progress=False, keep_weights=False)
    reached, ceiling = run.metrics["map"], run.metrics["ceiling"]
    print(f"mAP {reached:.4f}, ceiling {ceiling:.4f} after {run.record['times']['total_s']:.0f} s")
    assert 0.5 < ceiling <= 1
    assert reached >= 0.95 * ceiling
