"""Worlds: seeded traffic and faults with hidden parameters, by which routing is judged.

``model`` is the file, ``default`` makes the shipped files, ``traffic`` draws the payments,
``truth`` holds what is hidden, ``hub`` follows payments as the house does, ``policies`` are the
house's own routing and the baselines, ``oracle`` knows everything, ``score`` compares.
"""
