"""CLDTLog: a log line's words judged by a fine-tuned BERT, from labels."""
