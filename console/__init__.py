"""What people see: the JSON API of the ledger, behind tokens."""
