"""What normal sessions do, step by step, as graphs of templates; where an abnormal one leaves them; how they look."""
