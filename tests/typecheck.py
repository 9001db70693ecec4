"""The checker of signatures: beartype, with an int taken where a float is asked for, as Python's own typing rules have it."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
