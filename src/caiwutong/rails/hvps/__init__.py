"""HVPS 大额实时支付系统: payments of any size between banks, settled gross and one by one.

Read in this order: ``profile`` (dated facts), ``messages`` (the words), ``codec`` (bytes ↔
messages, used by both sides of the wire), ``reports`` (what a message says about our attempts),
``connector`` (carries the bytes). What all CNAPS2 channels share is ``rails/cnaps``.
"""
