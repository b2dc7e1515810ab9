"""Makes the calls of a program that asks tmux by a process each time, as the old one did.

    python bench/old_loop.py SOCKET ROUND_SEC SESSION...

Three calls a round and five for each session, then a pause until the next round is due. Runs until
it is ended.

Source: tmux(1).
"""

import subprocess
import sys
import time


def main() -> None:
    socket, round_sec, *sessions = sys.argv[1:]

    def ask(*command: str) -> None:
        subprocess.run(["tmux", "-S", socket, *command], capture_output=True, check=False)

    due = time.monotonic()
    while True:
        ask("list-sessions")
        ask("list-windows", "-a")
        ask("list-clients")
        for session in sessions:
            ask("has-session", "-t", f"={session}")
            ask("list-windows", "-t", f"={session}")
            ask("list-panes", "-s", "-t", f"={session}")
            ask("display-message", "-p", "-t", f"={session}:", "#{pane_current_command}")
            ask("capture-pane", "-p", "-t", f"={session}:")
        due += float(round_sec)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
