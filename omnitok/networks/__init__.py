"""Pretrained networks: which bytes they are, where they lie, what they compute. Nothing is loaded until it is used."""
