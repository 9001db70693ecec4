"""The front page and the register, in headless Chromium."""

import pytest
from test_pages import FRONT, PAGES
from visit import WIDTHS, settled

from trial.register.claims import CLAIMS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1500)]


def test_the_front_page_says_in_two_screens_what_was_claimed_and_found(browser, address):
    """Its height; the forest plot; and for each of the four experiments both data sets, each with a verdict or "not run"."""
    with settled(f"{address}/{PAGES[0]}") as page:
        assert page.evaluate("document.documentElement.scrollHeight") <= FRONT
        assert page.locator("figure.forest img").evaluate("image => image.naturalWidth > 0 && image.getBoundingClientRect().height > 400")
        experiments = page.locator(".four > section")
        assert experiments.count() == 4 and page.locator(".doors .sd-card").count() == 3
        for experiment in experiments.all():
            assert experiment.locator("dt").all_inner_texts() == ["EmojiVOC", "photographs"]
            for said in experiment.locator("dd").all():
                assert said.locator('[class*="verdict-"], .not-run').count() == 1


def test_the_register_is_filtered_by_experiment_by_whose_and_by_verdict(browser, book, address):
    with settled(f"{address}/book/register.html") as page:
        cards, shown = page.locator("section.claim"), page.locator("section.claim:visible")
        assert shown.count() == cards.count() == len(CLAIMS)
        page.select_option('[name="group"]', "Focal loss")
        assert shown.count() == sum(c.id.startswith("C2") for c in CLAIMS)
        page.select_option('[name="whose"]', "rival")
        wanted = sum(c.id.startswith("C2") and c.whose == "rival" for c in CLAIMS)
        assert shown.count() == wanted and f"{wanted} of {len(CLAIMS)}" in page.locator(".claims-filter output").inner_text()
        page.select_option('[name="group"]', "")
        page.select_option('[name="whose"]', "")
        page.select_option('[name="verdict"]', "FAILS")
        found = shown.count()
        assert (
            0 < found == page.locator("section.claim:has(.verdict-fails)").count()
            and page.locator("section.claim:visible .verdict-fails").count() >= found
        )
        page.evaluate("location.hash = document.querySelector('section.claim[hidden] [id]').id")  # a link to a card that is filtered away
        page.wait_for_function("document.querySelectorAll('section.claim[hidden]').length === 0")


def test_the_register_is_complete_without_a_script(browser, book):
    with settled((book / "book/register.html").as_uri(), WIDTHS[1], java_script_enabled=False) as page:
        assert page.locator("section.claim:visible").count() == len(CLAIMS) and not page.locator(".claims-filter").is_visible()
        card = page.locator("section.claim").first
        card.locator("summary").click()
        assert card.get_by_text("What would change our mind", exact=False).last.is_visible()
