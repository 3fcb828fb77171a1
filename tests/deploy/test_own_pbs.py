"""docs/getting-started.md with one's own PBS, followed to the letter.

Where the page has the reader edit a file, the test edits it.
"""

import re

from tests.deploy.compose_stack import ALERTMANAGER, STACK, Checkout, filled_in
from tests.deploy.docker_engine import HOST, Docker
from tests.support.documented import section
from tests.support.simulated_pbs import Simulate
from tests.support.waiting import poll

PAGE = "docs/getting-started.md"
MINUTE = 60


def test_own_pbs(stack: Checkout, docker: Docker, simulated_pbs: Simulate) -> None:
    """The page's commands for one's own PBS work: check, an age limit for one group, a silence, and a receiver."""
    copy, up = section(PAGE, "With your own PBS")
    (age,) = section(PAGE, "Set another age limit")
    (silence,) = section(PAGE, "Silence an alert")
    take, receiver, again = section(PAGE, "Notifications")
    with simulated_pbs(docker.machine, HOST) as pbs:
        stack.directory = stack.folder / STACK
        stack(copy.text)
        (stack.folder / STACK / ".env").write_text(filled_in(pbs.variables))
        assert "\nlogin       ok, as " in stack(up.text)
        stack.wait()
        poll(lambda: stack.value("pbs_up") == 1, "a scrape", seconds=MINUTE + 15, pause=2)

        assert "SUCCESS: 1 rules found" in stack(age.text)
        limit = 'group:pbs_snapshot_age:limit_seconds{namespace="prod",backup_id="100"}'
        poll(lambda: stack.value(limit) == 8 * 86400, "another limit", seconds=MINUTE + 15, pause=2)

        assert "moves to the new host" in stack(silence.text)

        stack(take.text)
        file = stack.folder / STACK / "alertmanager.yml"
        nobody = re.search(r"^  - name: nobody\n", file.read_text(), re.MULTILINE)
        assert nobody is not None
        file.write_text(file.read_text().replace(nobody[0], receiver.text.partition("\n")[2]))
        assert "SUCCESS" in stack(again.text)
        stack.wait()
        loaded = stack.ask(f"{ALERTMANAGER}/api/v2/status")["config"]["original"]
        assert "webhook_configs" in loaded
        assert "inhibit_rules" in loaded
