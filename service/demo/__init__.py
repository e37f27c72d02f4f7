"""The demo: the shipped bundle, served and shown the part of the recorded sample that it was not trained on."""
