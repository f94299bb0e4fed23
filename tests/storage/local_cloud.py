"""Points the tests of google-cloud-storage at a local cloud; loaded with `pytest -p local_cloud`.

Most of them want an account's key, so one is made that owns the project. They wait for a
service that is spread over the world; here a wait is short. What needs something the local
cloud does not serve is in `not_served.txt`: it has to fail, and nothing else may, or be skipped.
"""

import base64
import json
import os
import pathlib
import time
import urllib.request

import pytest
from google.cloud.storage import Client
from google.oauth2 import service_account

URL = os.environ["STORAGE_EMULATOR_HOST"]
PROJECT = os.environ["GOOGLE_CLOUD_PROJECT"]
LONGEST_WAIT = 0.02


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def credentials():
    """Of an account that owns the project; its tokens come from the local cloud too."""
    for api in ["iam", "cloudresourcemanager", "cloudkms"]:
        call(f"/v1/projects/{PROJECT}/services/{api}.googleapis.com:enable", {})
    accounts = f"/v1/projects/{PROJECT}/serviceAccounts"
    account = call(accounts, {"accountId": "storage-tests"})["email"]
    binding = {"role": "roles/owner", "members": [f"serviceAccount:{account}"]}
    call(f"/v1/projects/{PROJECT}:setIamPolicy", {"policy": {"bindings": [binding]}})
    key = base64.b64decode(call(f"{accounts}/{account}/keys", {})["privateKeyData"])
    info = json.loads(key) | {"token_uri": f"{URL}/token"}
    return service_account.Credentials.from_service_account_info(info)


def give(credentials):
    """To every client that is made without: with an emulator it would call as nobody."""
    init = Client.__init__

    def with_credentials(self, *args, **named):
        given = len(args) > 1 or named.get("credentials")
        init(self, *args, **named if given else named | {"credentials": credentials})

    Client.__init__ = with_credentials


def make_keys():
    """Those that the tests of customer-managed keys name; Storage may use them."""
    rings = f"/v1/projects/{PROJECT}/locations/us/keyRings"
    call(f"{rings}?keyRingId=gcs-test", {})
    agent = call(f"/storage/v1/projects/{PROJECT}/serviceAccount")["email_address"]
    role = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    policy = {"bindings": [{"role": role, "members": [f"serviceAccount:{agent}"]}]}
    call(f"{rings}/gcs-test:setIamPolicy", {"policy": policy})
    for key in ["gcs-test", "gcs-test-alternate"]:
        made = f"{rings}/gcs-test/cryptoKeys?cryptoKeyId={key}"
        call(made, {"purpose": "ENCRYPT_DECRYPT"})


def be_quick():
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(min(seconds, LONGEST_WAIT))


def not_served():
    """The listed tests, each with the heading it stands under."""
    found, reason = {}, None
    for line in (pathlib.Path(__file__).parent / "not_served.txt").read_text().splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line:
            found[f"tests/system/{line}"] = reason
    return found


give(credentials())
make_keys()
be_quick()
LISTED = not_served()
unlisted = []


def pytest_collection_modifyitems(items):
    left = dict(LISTED)
    for item in items:
        if reason := left.pop(item.nodeid, None):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    if left:
        raise pytest.UsageError(f"not_served.txt: no such tests: {', '.join(left)}")


def pytest_runtest_logreport(report):
    if report.skipped and report.nodeid not in LISTED:
        unlisted.append(report.nodeid)


def pytest_sessionfinish(session):
    if unlisted:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for test in unlisted:
        terminalreporter.write_line(f"SKIPPED, but not in not_served.txt: {test}")
