"""How far what is served has moved from what was trained on."""
