"""IBPS 网上支付跨行清算系统 (超级网银): small payments between banks, answered at once, netted.

Read in this order: ``profile`` (dated facts), ``messages`` (the words), ``codec`` (bytes ↔
messages, used by both sides of the wire), ``reports`` (what a message says about our attempts),
``connector`` (carries the bytes).
"""
