"""BEPS 小额批量支付系统: payments in batches, netted in rounds, settled at clearing points.

Read in this order: ``profile`` (what a batch may be), ``messages`` (the words), ``codec`` (bytes ↔
messages, used by both sides of the wire), ``packing`` (attempts into batches), ``reports`` (what a
message says about our attempts), ``connector`` (the rail). What BEPS shares with HVPS and IBPS is
in ``rails/cnaps``.
"""
