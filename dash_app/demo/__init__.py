"""The demo world: five databases in a temporary folder, and the agents that write them.

The demo plays the agents: this is the only code of ours that writes to databases under watch, and
it does so in processes and a temporary folder of its own. What watches imports nothing from here;
only `cli` does. Standard library only. No watching, no reading back, no faces.

From the bottom: `rhythm` (when), `rows` (what), `tables` (the five schemas), `past` (thirty days
of it), `writer` (one process a database), `folder`, `world`.
"""
