"""Give the settings to run by: this host's own, and the house's policy within them."""

from pathlib import Path

from agent.collect._shape import agent_event, now_us
from agent.halves import POLICY
from agent.keep import keep
from agent.policy import Follower, allowed, merged
from agent.settings import Settings
from agent.spool import Spool


class Ordered:
    """The settings to run by now: this host's own, and the house's policy within them."""

    def __init__(self, folder: Path, spool: Spool, said: Settings) -> None:
        """Begin with the policy that ran before."""
        self._said, self._spool = said, spool
        self._follower = Follower(folder)
        self.settings = said
        self._take()

    def look(self) -> bool:
        """Look for another policy; True if the settings are others now. Told as an event."""
        before = self._follower.refused, self._follower.reason
        is_new = self._follower.look()
        if is_new:
            self._take()
            version = self._follower.policy.version
            self._tell("policy_applied", f"policy {version} runs", version)
        elif before != (self._follower.refused, self._follower.reason):
            self._note()
            text = f"policy {self._follower.refused} was refused: {self._follower.reason}"
            self._tell("policy_refused", text, self._follower.refused)
        return is_new

    def _take(self) -> None:
        self.settings = merged(self._said, self._follower.policy)
        self._spool.bound(self.settings.spool_mb << 20)
        self._note()

    def _note(self) -> None:
        follower = self._follower
        note = {
            "version": follower.policy.version,
            "refused": follower.refused,
            "reason": follower.reason,
            "response": sorted(allowed(self._said, follower.policy)),
        }
        if self._spool.note(POLICY, None) != note:
            self._spool.set_note(POLICY, note)

    def _tell(self, code: str, text: str, version: int) -> None:
        keep(self._spool, [agent_event(code, now_us(), text, policy_version=version)])
