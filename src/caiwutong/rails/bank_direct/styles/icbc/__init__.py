"""The style of the big state banks' front-end links (ICBC 银企互联, in kind ABC's too): XML in GBK.

One package (包) carries many payments, each with its own outcome. Owns: the form around a document
and the SM2 signature over its exact bytes (``envelope``), the documents (``messages``, their
``schemas``, ``codec``), documents → reports (``reports``), and one bank's connection (``link``,
``accounts``, ``connector``). What is fact and what is ours stands in ``profile``.
Read next: ``profile.py``, then ``codec.py``.
"""
