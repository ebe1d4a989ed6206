"""Write the boards as JSON: `python -m deploy.grafana FOLDER`."""

import json
import sys
from pathlib import Path

from deploy.grafana.ingest import ingest
from deploy.grafana.refunds import refunds

for name, made in (("refunds", refunds()), ("ingest", ingest())):
    (Path(sys.argv[1]) / f"{name}.json").write_text(json.dumps(made, indent=2, sort_keys=True) + "\n")
