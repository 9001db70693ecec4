"""The core tests bite: each of these faults, put into a copy of the package, turns a named test red.

The test passes on a faithful copy and fails on the mutated one; the mutated text occurs once in its file, so that a mutation never
silently stops applying. The working tree is not touched.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from groundwork.code_hash import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent


class Mutation(NamedTuple):
    """A fault: in a file of yolo_core/detector, `old` becomes `new`; `test` (in tests/test_*.py) has to notice."""

    fault: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = [
    Mutation("sign flipped in the centre error", "loss.py", "(centre - truth[:, 1:3])", "(centre + truth[:, 1:3])",
             "loss_equations::test_the_box_term_has_no_other_gradient"),
    Mutation("sign flipped in the size error", "loss.py", "(root - truth[:, 3:5].sqrt())", "(root + truth[:, 3:5].sqrt())",
             "loss_equations::test_the_box_term_is_the_squared_error_of_centres_and_of_roots_of_sizes"),
    Mutation("sign flipped in the class error", "loss.py", "(parts.classes[cells] - truth[:, 5:])",
             "(parts.classes[cells] + truth[:, 5:])", "loss_equations::test_the_class_term_is_the_squared_error_against_the_one_hot_label"),
    Mutation("sign flipped in the object error", "loss.py", "(c - quality).square()", "(c + quality).square()",
             "loss_equations::test_gradient_of_a_responsible_confidence"),
    Mutation("root dropped", "loss.py", "(root - truth[:, 3:5].sqrt())", "(root - truth[:, 3:5])",
             "loss_equations::test_the_box_term_is_the_squared_error_of_centres_and_of_roots_of_sizes"),
    Mutation("lambda_coord dropped", "loss.py", "self.lambda_coord * self._box(", "self._box(",
             "loss_equations::test_the_box_term_has_no_other_gradient"),
    Mutation("lambda_noobj dropped", "loss.py", "self.lambda_noobj * self._background(", "self._background(",
             "loss_equations::test_the_background_term_is_the_squared_confidence_of_all_other_predictors"),
    Mutation("detach of the IoU target missing", "loss.py", "assigned.iou.detach() if", "assigned.iou if",
             "loss::test_the_iou_target_is_a_constant_so_confidence_does_not_move_the_box"),
    Mutation("detach of the focal factor missing", "loss.py", "c.detach().abs()", "c.abs()",
             "loss_focal::test_gradient_of_focal_with_the_factor_held_constant"),
    Mutation("worst IoU responsible", "loss.py", "iou.argmax(-1), nearest", "iou.argmin(-1), nearest",
             "loss::test_the_predictor_with_the_highest_iou_is_responsible"),
    Mutation("farthest predictor responsible", "loss.py", "xyxy_to_cxcywh(truth)).argmin(-1)", "xyxy_to_cxcywh(truth)).argmax(-1)",
             "loss::test_where_every_iou_is_zero_the_predictor_with_the_smallest_rmse_is_responsible"),
    Mutation("RMSE fallback dropped", "loss.py", "torch.where((iou > 0).any(-1), iou.argmax(-1), nearest)", "iou.argmax(-1)",
             "loss::test_where_every_iou_is_zero_the_predictor_with_the_smallest_rmse_is_responsible"),
    Mutation("RMSE of corners", "loss.py", "paired_rmse(xyxy_to_cxcywh(boxes), xyxy_to_cxcywh(truth))", "paired_rmse(boxes, truth)",
             "loss::test_the_rmse_is_of_centres_and_sizes_not_of_corners"),
    Mutation("spare predictors spared", "loss.py", "= ~chosen if self.spare_noobj", "= False if self.spare_noobj",
             "loss::test_the_spare_predictor_of_an_object_cell_pays_as_background_unless_spared"),
    Mutation("responsible predictors pay as background", "loss.py", "= ~chosen if self.spare_noobj", "= True if self.spare_noobj",
             "loss_equations::test_the_background_term_is_the_squared_confidence_of_all_other_predictors"),
    Mutation("division by the batch dropped", "loss.py", "term / (effective_batch or len(outputs))", "term",
             "loss_equations::test_the_total_is_the_sum_of_four_terms_over_the_number_of_images"),
    Mutation("effective batch ignored", "loss.py", "(effective_batch or len(outputs))", "len(outputs)",
             "loss::test_micro_batches_add_up_to_the_full_batch"),
    Mutation("focal exponent one short", "loss.py", "pow(self.gamma + 2)", "pow(self.gamma + 1)",
             "loss_focal::test_gradient_of_focal"),
    Mutation("sign flipped in the printed factor", "loss.py", "(1 - c).abs()", "(1 + c).abs()",
             "loss_focal::test_gradient_of_the_factor_as_printed"),
    Mutation("object cells left out of the released reduction", "loss.py", "(w * (w + o))", "(w * w)",
             "loss_focal::test_gradient_of_the_released_reduction"),
    Mutation("floor of the root dropped", "loss.py",
             "torch.where(size > ROOT_FLOOR, root, x / ROOT_FLOOR**0.5)", "x.sign() * size.sqrt()",
             "loss::test_the_gradient_at_outputs_of_exactly_zero_is_finite_and_bounded"),
    Mutation("off by one cell at the edge", "grid.py", ".clamp(0, self.S - 1)", ".clamp(0, self.S - 2)",
             "grid::test_a_centre_on_the_right_or_lower_edge_of_the_picture_belongs_to_the_last_cell"),
    Mutation("cell rounded, not floored", "grid.py", "* self.S).long()", "* self.S).round().long()",
             "grid::test_encode_by_hand"),
    Mutation("row and column exchanged", "grid.py", "(images * self.S + column_row[:, 1]) * self.S + column_row[:, 0]",
             "(images * self.S + column_row[:, 0]) * self.S + column_row[:, 1]", "grid::test_encode_by_hand"),
    Mutation("corners exchanged", "grid.py", "torch.stack([columns, rows], -1)", "torch.stack([rows, columns], -1)",
             "grid::test_decode_by_hand"),
    Mutation("last object of a cell stays", "grid.py",
             'torch.full_like(distinct, len(keys)).scatter_reduce(0, group, torch.arange(len(keys)), "amin")',
             'torch.full_like(distinct, -1).scatter_reduce(0, group, torch.arange(len(keys)), "amax")',
             "grid::test_of_two_objects_in_one_cell_the_first_listed_stays"),
    Mutation("difficult objects kept", "grid.py", "if not keep_difficult:", "if False:",
             "grid::test_difficult_objects_are_left_out_unless_asked_for"),
    Mutation("class off by one", "grid.py", "one_hot(labels, self.C)", "one_hot((labels + 1) % self.C, self.C)",
             "grid::test_encode_by_hand"),
    Mutation("class scores off by one number", "grid.py", "outputs[..., 5 * self.B :])", "outputs[..., 5 * self.B :].roll(1, -1))",
             "grid::test_split_gives_views_of_the_numbers_by_meaning"),
    Mutation("square of the root dropped", "grid.py", "size.square() if self.size", "size if self.size",
             "grid::test_decode_by_hand"),
    Mutation("clamp of confidence dropped", "grid.py", "parts.confidence.clamp(min=0)", "parts.confidence",
             "grid::test_a_score_is_the_product_of_confidence_and_class_both_held_at_zero"),
    Mutation("clamp of class scores dropped", "grid.py", "parts.classes.clamp(min=0)", "parts.classes",
             "grid::test_a_score_is_the_product_of_confidence_and_class_both_held_at_zero"),
    Mutation("all that tie are a cell's best", "grid.py",
             "torch.zeros_like(cell).scatter(-1, best, cell.gather(-1, best))", "torch.where(cell == cell.amax(-1, keepdim=True), cell, 0)",
             "grid::test_one_a_cell_keeps_one_even_where_scores_tie"),
    Mutation("a score at the threshold kept", "grid.py", "image_scores > score_threshold", "image_scores >= score_threshold",
             "grid::test_the_threshold_keeps_what_scores_above_it"),
    Mutation("suppression across classes", "boxes.py", "batched_nms(boxes, scores, labels, iou)",
             "batched_nms(boxes, scores, labels * 0, iou)", "grid::test_suppression_is_by_class_two_classes_keep_the_same_box"),
    Mutation("one overlap of exactly a half refused", "metrics.py", "overlap >= iou_threshold", "overlap > iou_threshold",
             "metrics::test_an_overlap_of_exactly_the_threshold_counts"),
    Mutation("detections of difficult objects false", "metrics.py", "outcome[d[difficult[t]]] = DIFFICULT", "pass",
             "metrics::test_detections_of_a_difficult_object_are_neither_true_nor_false"),
    Mutation("difficult objects to be found", "metrics.py", "truth_labels[~difficult]", "truth_labels",
             "metrics::test_difficult_objects_need_not_be_found"),
    Mutation("last claim on an object counts", "metrics.py", "outcome[d[np.unique(t, return_index=True)[1]]] = TRUE",
             "outcome[d[::-1][np.unique(t[::-1], return_index=True)[1]]] = TRUE",
             "metrics::test_an_object_is_matched_once_and_the_best_score_has_it"),
    Mutation("every claim on an object counts", "metrics.py", "outcome[d[np.unique(t, return_index=True)[1]]] = TRUE",
             "outcome[d] = TRUE", "metrics::test_an_object_is_matched_once_and_the_best_score_has_it"),
    Mutation("worst overlap matched", "metrics.py", "np.lexsort((t, -overlap, d))", "np.lexsort((t, overlap, d))",
             "metrics::test_a_detection_goes_to_its_best_overlap_even_if_that_one_is_taken"),
    Mutation("worst score first", "metrics.py", "np.argsort(-scores", "np.argsort(scores", "metrics::test_area_by_hand"),
    Mutation("envelope dropped", "metrics.py", "envelope = np.maximum.accumulate(precision[::-1])[::-1]\n", "envelope = precision\n",
             "metrics::test_precision_is_the_best_at_any_higher_recall"),
    Mutation("ten points, not eleven", "metrics.py", "np.arange(11) / 10", "np.arange(1, 11) / 10",
             "metrics::test_eleven_points_by_hand"),
    Mutation("intersection counted twice", "metrics.py", "np.maximum(area - intersection,", "np.maximum(area,",
             "metrics::test_an_overlap_of_exactly_the_threshold_counts"),
    Mutation("disjoint boxes overlap", "boxes.py", "(bottom_right - top_left).clamp(min=0)", "(bottom_right - top_left)",
             "boxes::test_iou_by_hand"),
    Mutation("intersection counted twice in the loss", "boxes.py", "area_a + area_b - intersection", "area_a + area_b",
             "boxes::test_iou_is_the_share_of_unit_squares_that_lie_in_both"),
    Mutation("the bias of another output set", "heads.py", "[:, 4 : 5 * grid.B : 5] = bias", "[:, 3 : 5 * grid.B : 5] = bias",
             "model::test_the_confidence_bias_is_what_every_predictor_starts_from"),
    Mutation("code in a weights file runs", "backbones.py", "weights_only=True", "weights_only=False",
             "model::test_code_inside_a_weights_file_is_refused_and_does_not_run"),
    Mutation("statistics move until train() is called", "model.py", "detector.train(detector.training)", "pass",
             "model::test_freezing_holds_weights_or_statistics_or_both"),
    Mutation("statistics move in the second run as well", "recompute.py", "m.momentum, m.num_batches_tracked = 0.0, None", "pass",
             "recompute::test_two_steps_leave_the_same_weights_and_the_same_statistics_bit_for_bit[scratch]"),
    Mutation("the second run drops other pictures", "recompute.py", "use_reentrant=False,",
             "use_reentrant=False, preserve_rng_state=False,",
             "recompute::test_two_steps_leave_the_same_weights_and_the_same_statistics_bit_for_bit[efficientnet_lite0]"),
]  # fmt: skip


def copy(to: Path) -> Path:
    """What a test of the detector needs: the package, the tests, pytest's settings."""
    for folder in (*(package.replace(".", "/") for package in PACKAGES), "tests"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)
    return to


@pytest.fixture(scope="module")
def worker():
    """run(root, tests) -> pytest's exit code, in a process of its own."""
    # The run around this one has its own plugins and options; they are not the copy's.
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "YOLO_", "PYTHONPATH"))}
    clean["OMP_NUM_THREADS"] = "1"  # tests run side by side: more threads than cores would only wait for each other
    command = [sys.executable, str(HERE / "mutation_worker.py")]
    with subprocess.Popen(command, env=clean, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def run(root: Path, *tests: str) -> int:
            process.stdin.write(json.dumps({"root": str(root), "tests": tests}) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline() or -1)

        yield run
        process.stdin.close()


def node(mutation: Mutation) -> str:
    module, name = mutation.test.split("::")
    return f"tests/test_{module}.py::{name}"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy that a test may change, if it puts back what it has changed."""
    return copy(tmp_path_factory.mktemp("copy"))


def test_a_faithful_copy_passes(worker, project):
    assert worker(project, *sorted({node(m) for m in MUTATIONS})) == pytest.ExitCode.OK


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.fault)
def test_a_fault_turns_its_test_red(mutation, worker, project):
    file = project / "yolo_core" / "detector" / mutation.file
    source = file.read_text(encoding="utf-8")
    assert source.count(mutation.old) == 1, f"{mutation.file} should hold {mutation.old!r} exactly once: bring the mutation up to date"
    file.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        assert worker(project, node(mutation)) == pytest.ExitCode.TESTS_FAILED
    finally:
        file.write_text(source, encoding="utf-8")
