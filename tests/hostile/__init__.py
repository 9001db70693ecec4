"""Hostile and broken input, made by code, with what must come of it. One module a family; none imports the package: what is expected is
stated, not computed. `python -m hostile`, from this folder's parent, prints how many cases each family has.
"""
