"""How fast: each file asks one kind of question, ``python -m benchmarks`` asks them all.

Every figure is a ratio, measured in one run: the same step with this plugin, with its peers and
with the same pixels already in memory, interleaved, on a local server that answers late.
"""
