"""The README says what is so: its programs run, its links lead somewhere, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_its_programs_run_one_after_the_other_in_a_notebook(kernel):
    results = [kernel.run(program) for program in PROGRAMS]
    values = [
        output.data["text/plain"] for outputs in results for output in outputs if output.output_type == "execute_result"
    ]
    assert values == ["[6, 5]", "(42, <Phase.SUCCEEDED: 'SUCCEEDED'>, 1)"]


def test_its_commands_for_the_record_are_those_that_there_are(kernel):
    overview = kernel.run("%flyte")[0].text
    assert set(re.findall(r"`%flyte (\w+)", README)) == set(re.findall(r"^%flyte (\w+)", overview, re.MULTILINE))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))))
def test_make_knows_its_targets(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"(?:\]\(|src(?:set)?=\")([\w./-]+)[)\"]", README))))
def test_its_links_lead_to_files(link):
    assert (ROOT / link).exists()
