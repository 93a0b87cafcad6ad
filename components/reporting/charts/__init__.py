"""The report's pictures as inline SVG: no script, no style attribute, a text alternative each.

Colours come from classes that the page's style sheet sets for light, dark and print. Baseline is always orange,
dashed and round; transfer always blue, solid and square, so that the two stay apart in gray too.
"""
