"""Serve the built book on this machine, at a free port, and open it in the browser."""

import functools
import http.server
import webbrowser
from pathlib import Path

HTML = Path(__file__).resolve().parent.parent / "_build" / "html"


def main() -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"The book is at {address} until you press Ctrl+C.", flush=True)
        webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
