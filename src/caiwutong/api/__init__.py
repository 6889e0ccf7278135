"""The HTTP side of the house. Everything about HTTP is here and nothing else is.

``app`` builds the one ASGI application; ``gate`` is what every request passes (size, who, what is
counted); ``payments`` and ``batching`` are the lean intake, ``events`` the event stream,
``callbacks`` what networks send us, ``routes/`` the rest; ``problems`` turns errors into answers.
"""
