"""How every picture looks: lines over time, readable without colour vision, without scripts and without a network."""

import sys
from typing import Any, Final
from xml.etree import ElementTree

import pygal
from pygal.style import Style

# It hooks itself into every later import, in a way that Python 3.12 never calls and 3.11 warns of.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Okabe and Ito's, which people with any kind of colour vision can tell apart."""
DASHED: Final = {"dasharray": "6, 4"}
SVG: Final = "{http://www.w3.org/2000/svg}"


def lines(title: str, x_title: str, y_title: str, description: str, **options: Any) -> Any:
    """Return an empty chart of lines over a number; `description` says in words what is drawn, for who cannot see it."""
    style = Style(
        colors=COLOURS,
        background="white",
        plot_background="white",
        font_family="sans-serif",
        title_font_size=16,
        label_font_size=12,
        major_label_font_size=12,
        value_label_font_size=11,
        legend_font_size=13,
        foreground="#333333",
        foreground_strong="#000000",
        foreground_subtle="#666666",
        guide_stroke_color="#dddddd",
        major_guide_stroke_color="#dddddd",
        guide_stroke_dasharray="1",
        major_guide_stroke_dasharray="1",
        stroke_width=2,
    )
    given = {"no_data_text": "nothing was recorded", **options}
    chart = pygal.XY(
        title=title,
        x_title=x_title,
        y_title=y_title,
        style=style,
        js=[],
        width=1100,
        height=540,
        legend_box_size=14,
        allow_interruptions=True,
        show_y_guides=True,
        dots_size=3.5,
        truncate_legend=-1,
        **given,
    )

    def without_scripts_and_with_words(root: Any) -> Any:
        for parent in list(root.iter()):
            for script in [child for child in parent if str(child.tag).rpartition("}")[2] == "script"]:
                parent.remove(script)
        root.set("role", "img")
        words = ElementTree.Element("desc")
        words.text = description
        root.insert(0, words)
        return root

    chart.add_xml_filter(without_scripts_and_with_words)
    return chart


def svg(chart: Any) -> str:
    """Return the picture as text."""
    text: str = chart.render(is_unicode=True)
    return text
