"""``halfsight serve``: the report in a browser, and the same by a REST interface.

Everything runs on this machine. Photographs and results lie in one private temporary folder under
random names, and are deleted after a stated time; names that clients send are only ever shown.
"""
