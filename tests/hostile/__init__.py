"""Hostile and broken input, made by code, with what must come of it: refused in one sentence, or read as is stated.

One module a family. None imports the package: what is expected is stated, not computed. `python -m hostile` counts the cases.
"""
