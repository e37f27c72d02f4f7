"""The web page: what an operator sees and answers, rendered here from what the HTTP routes answer with."""
