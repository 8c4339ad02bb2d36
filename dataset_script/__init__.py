"""Makes the SynFundus-1M dataset repository: plans of conditions, Parquet shards, the dataset card, a contact sheet."""
