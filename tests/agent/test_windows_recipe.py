"""Read the MSI's recipe, which no Windows has built yet: every name in it leads somewhere."""

import xml.etree.ElementTree as ET

from tests.shared import ROOT

WIX = "{http://wixtoolset.org/schemas/v4/wxs}"


def test_every_name_in_the_recipe_leads_somewhere() -> None:
    tree = ET.parse(ROOT / "deploy/agent/windows/agent.wxs").getroot()  # noqa: S314  our own file
    ids = {
        kind: {e.get("Id") for e in tree.iter(WIX + kind)} for kind in ("CustomAction", "Component")
    }
    ids["ComponentGroup"] = {e.get("Id") for e in tree.iter(WIX + "ComponentGroup")}
    assert {e.get("Action") for e in tree.iter(WIX + "Custom")} == ids["CustomAction"]
    assert {e.get("Id") for e in tree.iter(WIX + "ComponentRef")} == ids["Component"]
    assert {e.get("Id") for e in tree.iter(WIX + "ComponentGroupRef")} == ids["ComponentGroup"]
    enrol = next(e for e in tree.iter(WIX + "CustomAction") if e.get("Id") == "Enrol")
    assert enrol.get("HideTarget") == "yes"  # or the installer's log has the token
