"""Webhooks: events delivered in order to addresses the enterprise names (Standard Webhooks).

Read ``model`` (words), ``rules`` (signature, patience, addresses; pure), ``store`` (rows),
``service`` (create, change, rotate, replay), ``delivery`` (the sending), ``client`` (the socket).
"""
