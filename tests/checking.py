"""What jaxtyping checks annotations with while tests run; an int is a float's equal, as everywhere in Python."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
