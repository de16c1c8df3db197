"""The documents' studies, measured at lengths that decide: trained one after another, archived, and made tables of.

``python -m cifar_sweeps.reference`` trains what is missing, ``… table STUDY`` makes a table of what there is.
"""
