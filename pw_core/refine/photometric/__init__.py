"""What pictures correct by their colours: a change of colour, a gain on the table, and gradients for the rest."""
