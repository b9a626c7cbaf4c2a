"""The ``input.data`` files of RuNNer and n2p2."""
