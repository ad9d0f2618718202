"""The press: turns book/ into executed pages, a ledger, a site and notebooks."""
