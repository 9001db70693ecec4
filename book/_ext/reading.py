"""What makes pages easier to read for everybody: a term shows its definition, a bibliography is a list to a screen reader too, and there
are no buttons that lead nowhere.

{term}`ceiling` links to the glossary; here the link also gets the definition's first paragraph as a tooltip, which the theme's own script
shows on hover and on keyboard focus. That paragraph is plain text: mathematics comes in the ones after it.
"""

import re
from html import escape

from docutils import nodes

GLOSSARY = "book/glossary"
TERM = re.compile(rf'<a class="reference internal" href="[^"]*?{GLOSSARY.split("/")[1]}\.html#(term-[^"]+)">')
LINES = re.compile(r"<dl>\n<dd><em class=\"sig-param\">.*?</dl>", re.DOTALL)


def setup(app):
    app.connect("config-inited", launch_from_an_address_only)
    app.connect("env-check-consistency", mathematics_of_its_own)
    app.connect("html-page-context", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def launch_from_an_address_only(app, config):
    """Binder and Colab fetch a notebook from its repository, so that the theme may offer them once `_config.yml` names one."""
    options = config.html_theme_options
    if not options.get("repository_url"):
        options["launch_buttons"] = {}


def mathematics_of_its_own(app, env):
    """MathJax where a page has mathematics itself: Sphinx loads it as well where a page below it in the table of contents has some."""
    domain = env.get_domain("math")
    domain.has_equations = lambda name=None: domain.data["has_equations"].get(name, False)


def definitions(app) -> dict[str, str]:
    """The first paragraph of each definition, by the address of its term; read once."""
    if not hasattr(app, "book_definitions"):
        items = app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item) if GLOSSARY in app.env.found_docs else ()
        app.book_definitions = {
            address: item[-1][0].astext().replace("\n", " ")
            for item in items
            for term in item.findall(nodes.term)
            for address in term["ids"]
        }
    return app.book_definitions


def mend(app, pagename, templatename, context, doctree):
    """The page's HTML before the theme surrounds it."""
    if doctree is None:
        return
    said = definitions(app)

    def told(link: re.Match) -> str:
        if link[1] not in said:  # another page's own glossary
            return link[0]
        return link[0][:-1] + f' data-bs-toggle="tooltip" title="{escape(said[link[1]])}">'

    body = TERM.sub(told, context["body"])
    # Sphinx sets the lines of a long signature as definitions of nothing; to a screen reader they are a list.
    body = LINES.sub(lambda lines: lines[0].replace("<dl>", '<ul class="sig-lines">').replace("</dl>", "</ul>").replace("dd>", "li>"), body)
    # docutils gives entries a role that ARIA has withdrawn and that a list may not hold.
    context["body"] = body.replace(' role="doc-biblioentry"', ' role="listitem"')
