"""Who is here: tenants, enterprise groups with their legal entities and units, people, API keys.

Promises: no private key and no readable secret is in the database; an answer never tells whether
another tenant's thing exists. Read ``model`` (the words), ``rules`` (what is well formed),
``http_signatures`` (how a request is signed), ``service`` and ``authentication`` (what it does).
"""
