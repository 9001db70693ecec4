"""Where what is made goes: through links, not onto a disk's root or the current folder, with the rights that the user gives."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_voc import picture, write_tree
from PIL import Image
from test_nothing_overwritten import CONFIG, untrained  # noqa: F401
from test_start import reached  # noqa: F401

from groundwork.errors import InputError
from groundwork.files import in_place_of
from trial.inference import export
from yolo_core import experiments
from yolo_core.__main__ import main
from yolo_core.data.voc import VocData
from yolo_core.training.config import config_from_dict
from yolo_core.training.records import Run, read_run
from yolo_core.training.train import make_fabric, train

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ["train", "baseline", "--arm", "conv", "--profile", "smoke"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("tree"), train=4, val=1)


def train_to(out, tree):
    return main([*TRAIN, "--data", str(tree), "--out", str(out)])


@pytest.mark.parametrize("there", [False, True], ids=["that is not there", "that is empty"])
def test_a_run_goes_where_a_link_leads(tmp_path, tree, monkeypatch, there):
    """A folder cannot be moved onto a link: told after the training, this cost a night."""
    (tmp_path / "disk").mkdir()
    if there:
        (tmp_path / "disk" / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "run")
    monkeypatch.setattr(experiments, "resolve", lambda *_: CONFIG)
    assert train_to(tmp_path / "link", tree) == 0
    assert (tmp_path / "link").is_symlink() and read_run(tmp_path / "disk" / "run").record["steps"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]


def test_a_run_is_not_moved_onto_the_current_folder_one_around_it_or_a_disk(tmp_path, tree, monkeypatch, capsys, reached):  # noqa: F811
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for out in (".", tmp_path / "empty", "../empty/."):
        assert train_to(out, tree) == 2
        assert "name a folder inside it, --out " in capsys.readouterr().err
    monkeypatch.chdir(tree)
    monkeypatch.setattr("os.path.ismount", lambda path: str(path) == str(tmp_path / "empty"))
    assert train_to(tmp_path / "empty", tree) == 2
    assert "name a folder inside it" in capsys.readouterr().err and reached == []


def test_a_folder_inside_is_told_as_an_option_that_can_be_given_as_it_stands(tmp_path, tree, monkeypatch, capsys, reached):  # noqa: F811
    (tmp_path / "my run").mkdir()
    monkeypatch.chdir(tmp_path / "my run")
    assert train_to(tmp_path / "my run", tree) == 2
    told = capsys.readouterr().err.split("name a folder inside it, ")[1]
    assert shlex.split(told) == ["--out", str(tmp_path / "my run/run")]


def test_a_folder_built_aside_goes_where_a_link_leads_with_the_rights_that_the_user_gives(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with in_place_of(tmp_path / "link") as folder:
        (folder / "file").touch()
    assert (tmp_path / "link").is_symlink() and [path.name for path in (tmp_path / "there").iterdir()] == ["file"]
    for mask, rights in ((0o077, 0o700), (0o022, 0o755), (0o002, 0o775)):
        before = os.umask(mask)
        try:
            with in_place_of(tmp_path / f"{mask:o}") as folder:
                (folder / "file").touch()
        finally:
            assert os.umask(before) == mask, "the process's own is left as it was"
        assert (tmp_path / f"{mask:o}").stat().st_mode & 0o777 == rights


def test_a_link_to_nothing_is_the_users_and_is_not_written_over_by_a_file(tmp_path, untrained):  # noqa: F811
    (tmp_path / "model.onnx").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="model.onnx: already there"):
        export.export(CONFIG.detector(), CONFIG, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_symlink()


@pytest.mark.parametrize("train_pictures", [1, 3])
def test_a_single_picture_to_score_on_and_fewer_to_train_on_than_a_batch_are_enough(tmp_path, train_pictures):
    root = write_tree(tmp_path / "tree", train=train_pictures, val=1)
    splits = [VocData(root, split, CONFIG.image_size) for split in ("train", "val")]
    run = train(CONFIG, *splits, tmp_path / "run", code="c", progress=False)
    assert run.record["steps"] == 1 and run.metrics["images"] == 1


def test_who_may_read_a_run_and_a_cache_is_for_the_umask_to_say(tmp_path):
    """safetensors makes its files for their owner alone: nobody else in a class or a laboratory could read the weights."""
    before = os.umask(0o022)
    try:
        root = write_tree(tmp_path / "tree", train=4, val=2)
        splits = [VocData(root, split, CONFIG.image_size) for split in ("train", "val")]
        train(CONFIG, *splits, tmp_path / "run", code="c", progress=False)
    finally:
        os.umask(before)
    rights = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: f"{mode:o}" for name, mode in rights.items() if mode != 0o644} == {}
    assert "run/weights.safetensors" in rights and any(name.endswith("targets.safetensors") for name in rights)


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "2"), ("WORLD_SIZE", "two"), ("WORLD_SIZE", ""), ("WORLD_SIZE", "0")])
def test_a_number_of_processes_left_by_another_program_is_told(tmp_path, tree, monkeypatch, capsys, name, value):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv(name, value)
    assert train_to(tmp_path / "run", tree) == 2
    assert f"unset {name}" in (said := capsys.readouterr().err) or "unset it" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"WORLD_SIZE": "2", "RANK": "1"}, "LOCAL_RANK is not set; start several processes by torchrun, or unset WORLD_SIZE"),
        ({"WORLD_SIZE": "2", "RANK": "abc", "LOCAL_RANK": "0"}, "RANK must be a whole number of at least 0"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "-1"}, "LOCAL_RANK must be a whole number of at least 0"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}, "2, is no multiple of LOCAL_WORLD_SIZE, 4"),
    ],
    ids=str,
)
def test_variables_of_processes_as_torchrun_does_not_set_them_are_told(tmp_path, tree, monkeypatch, capsys, left, said):
    """Fabric started processes of its own, in silence."""
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    assert train_to(tmp_path / "run", tree) == 2
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "job",
    [
        {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
        {"LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/nonexistent", "JSM_NAMESPACE_SIZE": "1", "JSM_NAMESPACE_LOCAL_RANK": "0"},
    ],
    ids=lambda job: next(iter(job)),
)
def test_one_process_trains_alone_in_the_job_of_a_scheduler(monkeypatch, job):
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    fabric = make_fabric("32-true")
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


@pytest.mark.parametrize("share", ["nan", "7", "-0.1"])
def test_a_score_to_show_boxes_from_is_a_score(tmp_path, untrained, capsys, share):  # noqa: F811
    words = ["predict", str(untrained), str(picture(tmp_path / "a.jpg")), "--out", str(tmp_path / "out"), f"--score-threshold={share}"]
    assert main(words) == 2 and not (tmp_path / "out").exists()
    assert "--score-threshold must be from 0 to 1" in capsys.readouterr().err


def test_figures_are_drawn_in_our_style_whatever_the_readers_matplotlib_is_told(tmp_path):
    """usetex without LaTeX failed every drawing; and a backend that there is none of is told."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.format: pdf\n")
    look = "import trial.figures, matplotlib; print(matplotlib.rcParams['text.usetex'], matplotlib.rcParams['savefig.format'])"
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, env=here, capture_output=True, text=True)
    assert done.stdout == "False png\n", done.stderr
    done = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, env=here | {"MPLBACKEND": "x"}, capture_output=True, text=True)
    assert "InputError: MPLBACKEND=x: Matplotlib refuses it" in done.stderr


@pytest.mark.parametrize(("seed", "said"), [(-1, "at least 0"), (2**63, "below 2.63"), (10**30, "below 2.63")])
def test_a_seed_is_one_that_every_generator_takes(seed, said):
    with pytest.raises(InputError, match=said):
        config_from_dict({"seed": seed})
    assert config_from_dict({"seed": 2**63 - 1}).seed == 2**63 - 1


@pytest.mark.parametrize("name", ["日本 ü.png", "$x^2_{.png", "%s.png", "-.png", "a\nb.png", b"caf\xe9.png"], ids=repr)
def test_a_picture_of_any_name_is_drawn_and_named_in_the_boxes(tmp_path, untrained, name, capsys):  # noqa: F811
    path = tmp_path / os.fsdecode(name)
    picture(tmp_path / "plain.jpg").rename(path)
    assert main(["predict", str(untrained), str(path), "--out", str(tmp_path / "out"), "--score-threshold", "0.9"]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == sorted(["boxes.json", path.name])


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1)], ids=["tall", "wide"])
def test_a_picture_of_an_extreme_shape_is_drawn_on_a_page_that_can_be_looked_at(tmp_path, untrained, size):  # noqa: F811
    Image.new("RGB", size, "red").save(tmp_path / "line.png")
    assert main(["predict", str(untrained), str(tmp_path / "line.png"), "--out", str(tmp_path / "out")]) == 0
    drawn = Image.open(tmp_path / "out/line.png").convert("RGB")
    assert max(drawn.size) < 12_000 and any(red > 200 > 100 > blue for red, _, blue in drawn.get_flattened_data())


def test_drawings_of_two_pictures_whose_names_fill_a_disks_limit_are_named_apart(tmp_path, untrained):  # noqa: F811
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / "plain.jpg").rename(tmp_path / folder / f"{'ü' * 125}.jpg")
    assert main(["predict", str(untrained), *(str(tmp_path / f / f"{'ü' * 125}.jpg") for f in "ab"), "--out", str(tmp_path / "out")]) == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["boxes.json", f"{'ü' * 124}-2.png", f"{'ü' * 125}.png"]


def test_a_result_is_told_where_it_lies_if_that_is_beside_the_place_asked_for(tmp_path, tree, monkeypatch, capsys):
    """Something has come to lie there while it trained. And a RANK that another program has left silences nobody."""
    monkeypatch.setattr(experiments, "resolve", lambda *_: CONFIG)
    monkeypatch.setenv("RANK", "1")
    code = experiments.training_code
    monkeypatch.setattr(experiments, "training_code", lambda: (tmp_path / "run/mine").mkdir(parents=True) or code())
    assert train_to(tmp_path / "run", tree) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'run-2'}: mAP") and read_run(tmp_path / "run-2").record["steps"] == 1


def test_weights_that_may_not_be_read_are_not_called_missing(untrained, monkeypatch):  # noqa: F811
    def refused(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(InputError, match="weights.safetensors: cannot be read .Permission denied.; ask its owner"):
        Run(untrained, {}).weights()
