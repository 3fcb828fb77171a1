"""Request a reload of the settings whenever their folder has changed: `reloader.py FOLDER PORT`."""

import http.client
import signal
import sys
import time
from pathlib import Path

SECONDS = 5
AFTER_A_FAILURE = 60

folder, port = Path(sys.argv[1]), int(sys.argv[2])
# The first process of a container has no default action for it.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
loaded = None
while True:
    try:
        # The kubelet replaces all files at once, by a link.
        found = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        if found != loaded:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=AFTER_A_FAILURE)
            connection.request("POST", "/-/reload")
            response = connection.getresponse()
            connection.close()
            if response.status == http.client.OK:
                loaded = found
            else:
                # The exporter's log says what is wrong. A Secret may arrive after the settings that need it.
                sys.stderr.write(f"not reloaded: {response.status} {response.reason}\n")
                time.sleep(AFTER_A_FAILURE)
    except OSError as error:
        sys.stderr.write(f"the exporter doesn't answer: {error}\n")
    time.sleep(SECONDS)
