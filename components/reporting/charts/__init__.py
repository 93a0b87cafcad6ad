"""The report's pictures as inline SVG: no script, no style attribute, a text alternative each.

Colours come from classes that the page's style sheet sets for light, dark and print. A control is dashed and round, a
treatment solid and square, so that the two stay apart in gray too.
"""
