"""Training and evaluation of quality models (needs the extra ``halfsight[train]``)."""
