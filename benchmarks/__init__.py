"""How fast convml-data is, beside satpy on the same files in the same run: ``make bench``.

Each module that is named in ``__main__`` measures one thing and gives rows of the table. What has to be measured in a
process of its own is a function that :mod:`~benchmarks.child` calls there.
"""
