"""Pure primitives: the Chinese commercial ciphers (国密) in ``gm``, the Merkle tree in ``merkle``.

Nothing here knows what it protects. Keys are kept by ``vault``, records by ``audit``.
"""
