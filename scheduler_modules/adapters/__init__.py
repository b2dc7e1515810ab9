"""The outside world behind the ports: only `compose` names what is in here."""
