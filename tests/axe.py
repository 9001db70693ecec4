"""Accessibility of a page, by axe-core: `violations`.

What is wrong in either colour mode and at the window's width, serious or critical by axe's own scale, one line a fault.
"""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

GRAVE = ("serious", "critical")
# No rule is switched off. What depends on neither colours nor width is looked at once, in a wide window and in light.
OF_COLOUR = ("color-contrast", "link-in-text-block")
OF_WIDTH = ("scrollable-region-focusable", "target-size", "aria-hidden-focus", *OF_COLOUR)

# Contrast is the dear rule, and code is thousands of words in a dozen colours. Of the words of code that look the same in boxes that look
# the same, up to the page itself, one stays to be looked at; the others keep their room unseen while the rules run. A word that gives
# its link a name stays. `preload` would fetch every style sheet once more, and those they import from the wrong folder.
RUN = """async ([mode, rules]) => {
  const root = document.documentElement;
  if (root.dataset.theme !== mode) {
    root.dataset.mode = root.dataset.theme = mode;
    document.getAnimations().filter(a => a.effect.getTiming().iterations !== Infinity).forEach(a => a.finish());
  }
  const STYLES = ['color', 'backgroundColor', 'backgroundImage', 'opacity', 'font', 'textShadow', 'filter', 'mixBlendMode'];
  const looks = new Map(), numbers = new Map();
  const number = node => {
    if (!node) return 0;
    if (!numbers.has(node)) {
      const style = getComputedStyle(node);
      const look = number(node.parentElement) + STYLES.map(name => style[name]).join();
      if (!looks.has(look)) looks.set(look, looks.size + 1);
      numbers.set(node, looks.get(look));
    }
    return numbers.get(node);
  };
  const seen = new Set();
  const repeated = [...document.querySelectorAll(':is(pre, dt.sig) span')].filter(word => (
    !word.childElementCount && !word.closest('a, button') && (seen.has(number(word)) || !seen.add(number(word)))));
  repeated.forEach(word => { word.style.visibility = 'hidden'; });
  const only = rules ? { runOnly: { type: 'rule', values: rules } } : {};
  const { violations } = await axe.run({ resultTypes: ['violations'], preload: false, ...only });
  repeated.forEach(word => { word.style.visibility = ''; });
  const why = node => [...node.any, ...node.all, ...node.none][0]?.message;
  return violations.flatMap(v => v.nodes.map(node => [v.impact, v.id, node.target.join(' '), why(node) ?? v.help]));
}"""


def violations(page: Page, whole: bool = True) -> list[str]:
    """Every grave violation of the page as it stands, in light and in dark; it is left in light.

    whole: every rule, else those that a width decides.
    """
    page.evaluate(AXE_SCRIPT)
    found = []
    for mode, rules in (("light", None if whole else OF_WIDTH), ("dark", OF_COLOUR)):
        told = page.evaluate(RUN, [mode, rules and list(rules)])
        found += [f"{mode}: {rule}: {where}: {why}" for impact, rule, where, why in told if impact in GRAVE]
    page.evaluate("Object.assign(document.documentElement.dataset, { mode: 'light', theme: 'light' })")
    return found
