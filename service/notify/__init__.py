"""Notices of incidents to people and their tools: who is told, how, and what happens where that fails."""
