"""The paper's experiments, and what nobody has run: a data set in, tables and a page out.

Each experiment is a function of a :class:`~halfsight.experiments.study.Study` that returns an
:class:`~halfsight.experiments.outcome.Outcome`; :mod:`halfsight.experiments.writing` puts that on
disk. Where the data set is one of the paper's, the published numbers stand beside ours.
"""
