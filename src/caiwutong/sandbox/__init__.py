"""The other side of the wire: a clearing centre, a sponsoring participant and banks with their own
books, in a process of its own, speaking the rails' real bytes over real HTTP.

The sandbox shares codecs, cryptography and the kernel with the hub, and nothing else: its books
are the judge of the hub's promises. Start with ``world`` (who exists), then ``books`` (what a bank
writes down), ``centre`` (how a transfer becomes final), ``network`` (how they are joined) and
``server`` (the sockets). ``judge`` compares the books with what the hub says.
"""
