"""Accessibility of a page, by axe-core: `violations`.

What is wrong in either colour mode and at the window's width, serious or critical by axe's own scale, one line a fault.
"""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

GRAVE = ("serious", "critical")
# No rule is switched off. What depends on neither colours nor width is looked at once, in a wide window and in light.
OF_COLOUR = ("color-contrast", "link-in-text-block")
OF_WIDTH = ("scrollable-region-focusable", "target-size", "aria-hidden-focus")

# `preload` would fetch every style sheet once more, and those they import from the wrong folder.
RUN = """async options => {
  const { violations } = await axe.run({ resultTypes: ['violations'], preload: false, ...options });
  const why = node => [...node.any, ...node.all, ...node.none][0]?.message;
  return violations.flatMap(v => v.nodes.map(node => [v.impact, v.id, node.target.join(' '), why(node) ?? v.help]));
}"""
MODE = """mode => {
  const root = document.documentElement;
  if (root.dataset.theme === mode) return;
  root.dataset.mode = root.dataset.theme = mode;
  document.getAnimations().filter(a => a.effect.getTiming().iterations !== Infinity).forEach(a => a.finish());
}"""
# The rules of colour are dear, and a page is thousands of words in a dozen colours. While they run, what looks like something before
# it, in boxes that look the same up to the page itself, and holds nothing that does not, is taken out; an empty one keeps its place.
THIN = """() => {
  const STYLES = ['color', 'backgroundColor', 'backgroundImage', 'opacity', 'font', 'textShadow', 'filter', 'mixBlendMode'];
  STYLES.push('textDecoration', 'borderBottom', 'display', 'visibility', 'position');
  const looks = new Map(), numbers = new Map([[null, 0]]), seen = new Set();
  const number = node => {
    if (!numbers.has(node)) {
      const style = getComputedStyle(node);
      const look = [number(node.parentElement), node.tagName, ...STYLES.map(name => style[name])].join();
      if (!looks.has(look)) looks.set(look, looks.size + 1);
      numbers.set(node, looks.get(look));
    }
    return numbers.get(node);
  };
  const repeated = [];
  const walk = node => {
    if ([node, ...node.querySelectorAll(':not(mjx-container *)')].every(one => seen.has(number(one)))) return repeated.push(node);
    seen.add(number(node));
    if (node.tagName !== 'MJX-CONTAINER') [...node.children].forEach(walk);
  };
  walk(document.body);
  window.takenOut = repeated.map(node => {
    const place = document.createElement(node.tagName);
    place.hidden = true;
    node.replaceWith(place);
    return [place, node];
  });
}"""
WHOLE = "() => window.takenOut.forEach(([place, node]) => place.replaceWith(node))"


def violations(page: Page, whole: bool = True) -> list[str]:
    """Every grave violation of the page as it stands, in light and in dark; it is left whole and in light.

    whole: every rule, else those that a width decides.
    """
    page.evaluate(AXE_SCRIPT)
    page.evaluate(MODE, "light")
    told = {"light": page.evaluate(RUN, {"rules": {rule: {"enabled": False} for rule in OF_COLOUR}} if whole else only(OF_WIDTH))}
    for mode in ("light", "dark"):
        page.evaluate(MODE, mode)
        page.evaluate(THIN)
        told[mode] = told.get(mode, []) + page.evaluate(RUN, only(OF_COLOUR))
        page.evaluate(WHOLE)
    page.evaluate(MODE, "light")
    return [f"{mode}: {rule}: {where}: {why}" for mode in told for impact, rule, where, why in told[mode] if impact in GRAVE]


def only(rules: tuple[str, ...]) -> dict:
    return {"runOnly": {"type": "rule", "values": list(rules)}}
