"""Numbers and tables of the smaller experiments, one file a script: titles in both languages."""
