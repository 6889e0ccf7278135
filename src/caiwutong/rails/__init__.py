"""Rails: the ways to the banks. ``contract`` says what every rail must do; each rail is a folder
with a ``profile`` (dated facts), a pure ``codec`` (bytes ↔ messages) and a ``connector`` (carries
bytes). Rails translate, they do not decide: an unclear answer is IN_DOUBT, never failed.
"""
