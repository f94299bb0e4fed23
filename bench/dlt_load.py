"""Loads the invoices `pages.py` serves with dlt, as its documentation has it: REST source, filesystem, Parquet.

    python bench/dlt_load.py URL FOLDER
"""

import os
import sys

url, folder = sys.argv[1:]
os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DESTINATION__FILESYSTEM__BUCKET_URL": f"file://{folder}/out"}

import dlt  # noqa: E402 (it reads the environment when imported)
from dlt.sources.rest_api import rest_api_source  # noqa: E402

paginator = {"type": "page_number", "base_page": 1, "total_path": None}
endpoint = {"path": "invoices", "data_selector": "Invoices", "paginator": paginator}
source = rest_api_source({"client": {"base_url": url}, "resources": [{"name": "invoices", "endpoint": endpoint}]})
pipeline = dlt.pipeline("bench", pipelines_dir=f"{folder}/pipelines", destination="filesystem", dataset_name="xero")
pipeline.run(source, loader_file_format="parquet")
