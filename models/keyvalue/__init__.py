"""The key and value LSTM (Brno): do the last events of a session look like those of a session labelled anomalous?"""
