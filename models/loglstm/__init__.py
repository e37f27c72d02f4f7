"""LogLSTM with negative sampling (InterpretableSAD): is this window one of the normal ones, or one spoilt?"""
