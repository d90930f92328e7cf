"""Widgets for notebooks (extra ``[lab]``): the tuner of one rule, the review of false pages."""
