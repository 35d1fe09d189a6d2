"""The type checker that jaxtyping uses while tests run. It accepts an int where a float is annotated (PEP 484)."""

from beartype import BeartypeConf, beartype

type_checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
