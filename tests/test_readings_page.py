"""The figure of every reading's gradient on the loss page: its table is theory's and the loss's own, and a slider reads it off, offline."""

import re

import numpy as np
import pytest
import torch
from axe import violations
from lone_page import lone_page
from visit import FAULTS, WIDTHS, watch, window

from trial.figures import readings
from yolo_core.detector.grid import Grid
from yolo_core.detector.loss import YoloLoss


@pytest.mark.parametrize("reading", [name for name in readings.STYLES if name != "focal-coupled"])
def test_the_table_is_the_slope_that_training_follows(reading):
    """Autograd through the detector's own loss, at every hundredth of c."""
    loss = YoloLoss(reading, lambda_noobj=readings.LAMBDA, gamma=readings.GAMMA, grid=Grid(S=1, B=1, C=1))
    outputs = torch.zeros(101, 1, 1, 6, dtype=torch.float64)
    outputs[:, 0, 0, 4] = torch.arange(101) / 100
    outputs.requires_grad_()
    loss(outputs, torch.zeros(101, 1, 1, 6, dtype=torch.float64), effective_batch=1)["background"].backward()
    np.testing.assert_allclose(readings.table()[reading], outputs.grad[:, 0, 0, 4], rtol=6e-4, atol=1e-9)


def test_the_coded_reading_is_the_squared_errors_times_its_sums():
    table = readings.table()
    np.testing.assert_allclose(table["focal-coupled"], (2 * readings.W + readings.O) * np.array(table["mse"]), rtol=1e-3)


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_a_key_moves_the_mark_and_the_gradients_are_read_off(browser, tmp_path, width):
    file = lone_page(tmp_path, "Readings", readings.html())
    still = re.findall(r"<strong>([^<]*)</strong>", file.read_text())
    with window(width) as page:
        said = watch(page, "")
        page.goto(file.as_uri(), wait_until="load")
        told = page.locator("#readings-key strong")
        assert [float(text) for text in told.all_inner_texts()] == [float(text) for text in still]
        page.keyboard.press("Tab")
        for key, k in (("ArrowRight", readings.AT + 1), ("End", 100), ("Home", 0)):
            page.keyboard.press(key)
            assert [float(text) for text in told.all_inner_texts()] == [values[k] for values in readings.table().values()]
            assert float(page.locator("#readings-mark").get_attribute("x1")) == pytest.approx(readings.x(k))
            for dot, values in zip(page.locator("#readings-dots circle").all(), readings.table().values(), strict=True):
                assert float(dot.get_attribute("cy")) == pytest.approx(readings.y(values[k]))
                assert (dot.get_attribute("visibility") == "hidden") == (values[k] > readings.HIGH)
        assert said + page.evaluate(FAULTS) + violations(page, whole=True) == []
