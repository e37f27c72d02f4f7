"""LogBERT (Guo, Yuan, Wu, IJCNN 2021): masked keys of a closed session, and its distance from the normal centre."""
