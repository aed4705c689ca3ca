"""Drawings of how each part works, made from the numbers of the chapter that shows them.

All share one visual language. A rounded box is a token, a row of squares is a vector, and a plain
box is a step. Queries are blue, keys orange, values green, and everything else is grey.
"""
