"""The routes behind the gate, one file per kind of thing. Each file has a function that takes the
wired house and returns Litestar handlers; a handler reads the request, calls one service in one
transaction, and words the answer.
"""
