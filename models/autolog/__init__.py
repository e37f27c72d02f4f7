"""AutoLog (Catillo, Pecchia, Villano, ESWA 2022): what each logging entity writes in a timeframe, by an autoencoder."""
