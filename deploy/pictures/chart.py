"""How every picture looks: lines over time, readable without colour vision, without scripts and without a network."""

import sys
from typing import Any, Final

import pygal
from pygal.style import Style

# It hooks itself into every later import, in a way that Python 3.12 never calls and 3.11 warns of.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
"""Okabe and Ito's, which people with any kind of colour vision can tell apart."""
DASHED: Final = {"dasharray": "6, 4"}


def lines(title: str, x_title: str, y_title: str, **options: Any) -> Any:
    """Return an empty chart of lines over a number."""
    style = Style(
        colors=COLOURS,
        background="white",
        plot_background="white",
        font_family="sans-serif",
        title_font_size=16,
        label_font_size=12,
        major_label_font_size=12,
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
    return pygal.XY(
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
        no_data_text="nothing was recorded",
        **options,
    )


def svg(chart: Any) -> str:
    """Return the picture as text."""
    chart.add_xml_filter(_without_scripts)
    text: str = chart.render(is_unicode=True)
    return text


def _without_scripts(root: Any) -> Any:
    for parent in list(root.iter()):
        for script in [child for child in parent if str(child.tag).rpartition("}")[2] == "script"]:
            parent.remove(script)
    return root
