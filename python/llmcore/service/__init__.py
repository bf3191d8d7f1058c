"""What a back end injects: an asynchronous service over a client and the ledger, with values of pydantic's."""
